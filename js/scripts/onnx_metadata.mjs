// The metadata of an ONNX file, which ONNX Runtime's WebAssembly build does not show: { key: value }.
const METADATA = 14; // ModelProto.metadata_props
const LENGTH_DELIMITED = 2;

export function onnxMetadata(file) {
  const entries = fieldsOf(file).filter(([number]) => number === METADATA);
  return Object.fromEntries(entries.map(([, entry]) => fieldsOf(entry).map(([, text]) => text.toString())));
}

// [number, bytes] of the length-delimited fields of a Protocol Buffers message.
function fieldsOf(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const fields = [];
  while (at < message.length) {
    const tag = varint();
    const value = varint();
    if (tag % 8 !== LENGTH_DELIMITED) continue; // ModelProto has only varints beside
    fields.push([Math.floor(tag / 8), message.subarray(at, at + value)]);
    at += value;
  }
  return fields;
}
