// The table of formats: a row is filled as soon as its format was compared.

import { element, made, NARROW, number } from "/page/elements.js";

// `table` is {rows, count, …}; `formats` all that will have a row; `image` the original;
// `ownBytes` of the file that the page made itself, or null.
export function showTable(table, { formats, image, ownBytes }) {
  const { rows, count, measure } = table;
  const isFeatures = measure === "features";
  element("caption").textContent = `Bytes at equal ${isFeatures ? "features" : "PSNR"}`;
  const titles = [
    ["Format", "Bytes", "Ratio"],
    count ? ["Words"] : [],
    isFeatures ? ["Features"] : [],
    ["PSNR"],
  ];
  element("columns").replaceChildren(
    ...titles.flat().map((textContent) => made("th", { textContent, scope: "col" })),
  );
  const most = Math.max(...rows.map(({ bytes }) => bytes));
  const line = (title, cells, row) => {
    const one = made("tr", { className: row === rows[0] ? "ours" : "" });
    one.append(
      made("th", { textContent: title, scope: "row" }),
      ...cells.map((textContent) => made("td", { textContent })),
    );
    one.style.setProperty("--part", row ? row.bytes / most : 0);
    return one;
  };
  const lines = rows.map((row) => {
    const cells = [
      `${{ lowest: "≥ ", highest: "≤ " }[row.end] ?? ""}${number.format(row.bytes)}`,
      (row.bytes / rows[0].bytes).toFixed(2),
      ...(count ? [row.words === undefined ? "…" : `${Math.round(100 * row.words)}${NARROW}%`] : []),
      ...(isFeatures ? [row.features.toPrecision(2)] : []),
      row.psnr.toFixed(1),
    ];
    return line(row.title, cells, row);
  });
  const others = formats.slice(rows.length - 1);
  lines.push(...others.map(({ title }) => line(title, ["…", "", ...(isFeatures ? [""] : []), ""])));
  element("rows").replaceChildren(...lines);
  showMeasure(table, image, ownBytes);
  element("compared").hidden = false;
  element("compared").classList.remove("stale");
}

function showMeasure(table, image, ownBytes) {
  const { seen, install, width, height, rows, count, measure } = table;
  const lines = [];
  if (width * height < image.width * image.height) lines.push(`Compared at ${width} × ${height} pixels.`);
  else if (ownBytes !== null && ownBytes !== rows[0].bytes) {
    lines.push("The row of CoTAM is the gateway's own encoder's, which has payloads for screens that the page lacks.");
  }
  if (count) lines.push(`Words: those of ${count} in the original that RapidOCR reads.`);
  if (measure === "features") {
    lines.push(
      "Features: distance of what a vision encoder sees, DINOv2-S/14, of the whole image at " +
        `${seen.join(" × ")}; 0 is equal. CoTAM was tuned with this encoder: it is no neutral judge.`,
    );
  }
  lines.push("PSNR, in dB, says little of what a model sees.");
  if (rows.some(({ end }) => end)) lines.push("≥ and ≤: the format goes no further.");
  element("measure").replaceChildren(lines.join(" "));
  if (measure !== "features") {
    element("measure").append(
      " To compare at equal features, install where the gateway runs: ",
      made("code", { textContent: install }),
    );
  }
}
