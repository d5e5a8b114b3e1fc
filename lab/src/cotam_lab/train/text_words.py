"""Fonts and words for the images of `cotam_lab.train.text`.

Fonts are found by a scan of the system's font folder and of the DejaVu family that matplotlib brings; a font
counts as able to write a script only where its character map holds every character of that script's words.
Words are drawn at random from short lists with frequent words first, so their lengths and repetitions are
about those of prose. The module knows no grammar, and no sentence it makes means anything.
"""

import re
import string
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import matplotlib
import numpy as np
from matplotlib.ft2font import FaceFlags, FT2Font
from PIL import ImageFont

T = TypeVar("T")
Rng = np.random.Generator

SYSTEM_FONTS = Path("/usr/share/fonts")
BUNDLED_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# Fonts that map letters to other shapes: symbols, boxes with the letter's number, segment displays.
ODD_FONTS = re.compile(
    r"^(cm[a-z]+10|STIX|LastResort|LinBiolinum_K|DSEG|Stam|DejaVuMath|Humor)", re.IGNORECASE
)
MONO_FONTS = re.compile("mono|courier|tlwgtyp|inconsolata|ocra|_M[.]", re.I)
HAND_FONTS = re.compile("script|hand|dkg|breip|ecolier|femke|kristi|isabella|lobster|pilgi|comic", re.I)
DISPLAY_FONTS = re.compile(
    "bebas|lobster|black|condensed|yanone|bold|heavy|didot|dustismo|dancing|extra", re.I
)

# Frequent words first: `word` draws early ones more often.
WORDS: dict[str, str] = {
    "latin": """
        the of and to a in is for that on with as it by at from this be are or an was not have which can
        will all has but we more one their time been other they new use may our no if were data when would
        page also year into than see each total only some any what out there most such these two first
        price date used system about work three number after made state over between high order name form
        part public report people world information service value level general results company product
        office local group development water under market table figure school number case power section
        account change total health research different important program national international government
        university business management example process control energy analysis method design quality
        including available street city building language question payment customer security network
        education technology material production experience performance environment reference computer
        software standard original provide following temperature population approximately relationship
        characteristics responsibility communication understanding administration organisation
        infrastructure zone quick jump wax fix box quiz vex joy""",
    "accented": """
        de la que und der en y el les des las los für è del ist não mit pour über qué año señor está même
        été où très déjà après français élève forêt garçon naïve cœur größe straße müller schön können
        während niño mañana corazón información según día más também coração ação é à você às città perché
        più così är och på från också år stå ø være får ikke są się jest że nie został który będzie łódź
        źródło že být který příliš žluťoučký kůň úpěl gök çok için güneş şehir ığdır őrült tükörfúró
        ştiință""",
    "greek": """
        και το να είναι με από στη για που δεν αυτό ένα μια θα ήταν όπως χρόνος ημέρα άνθρωπος πόλη νερό
        δρόμος τιμή σύνολο βιβλίο σχολείο εργασία Ελλάδα Αθήνα ψυχή ξένος φως""",
    "cyrillic": """
        и в не на что он как это по но из за от для год время дом город вода цена итого рабочий школа
        улица жизнь день большой новый сегодня Москва человек работа страна объём ещё цифра щит эхо юг""",
    "han": """
        的 一 是 在 不 了 有 和 人 这 中国 大 为 上 个 我们 以 要 他 时间 来 用 生活 到 作 地方 于 出 就
        分 对 成 会 可以 主要 发展 年 动 同 工作 也 能 下 过 子 说 产品 种 面 而 方法 后 多 定 行 学校 所
        民 得 经济 十 三 进 着 等 部门 度 家 电力 里 如 水 化 高 自己 二 理 起 小 物价 现在 实 加 量 都 两
        体 制 机器 当 使 点 从 业 本 去 把 性质 好 应 开 它 合计 还 因 由 其 些 然 前 外 天 政府 四 日 那
        社会 义 事 平 形 相 全 表 间 样 与 关 各 重新 线 内 数 正 心 反 你 明 看 原 又 利 比 或 但 质 气
        第 向 道 命 此 变 条 只 没 结 解 问题 意 建 月 公司 无 系统 很 情 者 最 立 代 想 已 通 并 提 直 程
        果 料 员 位 入 常 文化 总 次 品 式 活 设 管理 特 件 长 求 老 头 基 资 边 流 路 级 少 图 山 接 知
        较 将 组 见 计 别 手 角 期 根 论 运 指 几 九 区 强 放 西 被 做 必 先 回 则 任 取 据 处 南 给 色 光
        门 即 保 北 造 百 规 热 七 海 口 东 导 压 志 世 金 增 争 油 思 术 交 受 联 认 六 共 权 收 证 改 清
        美 再 转 更 单 风 打 白 教 速 花 带 安 场 身 车 例 真 具 万 每 目 至 达 走 示 议 声 报 完 类 八 离
        华 名 确 才 科 张 信 马 节 话 米 整 空 元 今 集 温 传 土 许 步 广 石 记 需 段""",
    "japanese": """
        の は を に が と て で た これ それ ここ です ます した から まで 日本 東京 時間 新しい 大きい
        小さい 人 年 月 日 円 合計 店 駅 電車 コーヒー レストラン カメラ テスト データ サービス メニュー
        情報 会社 社会 学校 研究 場合 利用 表示 設定 確認 画面 注文""",
    "hangul": """
        이 그 저 것 수 있다 없다 하다 사람 시간 오늘 내일 한국 서울 학교 회사 물 가격 합계 영수증 카드
        현금 주문 메뉴 커피 새로운 좋은 많은 우리 나라 정보 연구 서비스 확인 설정 결과""",
    "arabic": """
        في من على إلى هذا التي كان مع عن أن الذي بعد يوم سنة مدينة ماء كتاب مدرسة سعر المجموع شارع جديد
        كبير صغير اليوم العربية العمل الوقت الناس البيت""",
    "hebrew": """
        של את על לא זה עם הוא היא גם כל אם או יש אני היום שנה בית עיר מים ספר מחיר סכום רחוב חדש גדול קטן
        ישראל עבודה זמן אנשים""",
    "devanagari": """
        और के है में की से को का एक यह पर नहीं था कर वह हो साल दिन समय शहर पानी घर किताब मूल्य कुल नया
        बड़ा छोटा भारत लोग काम स्कूल""",
    "bengali": """
        এবং এই যে না করে তার হয় জন্য থেকে একটি দিন সময় শহর পানি বাড়ি বই মূল্য মোট নতুন বড় ছোট বাংলা
        মানুষ কাজ""",
    "tamil": """
        மற்றும் ஒரு என்று இந்த அது நான் நாள் நேரம் நகரம் தண்ணீர் வீடு புத்தகம் விலை மொத்தம் புதிய பெரிய
        சிறிய தமிழ்""",
    "thai": """
        และ ใน ที่ การ เป็น ของ ได้ มี ไม่ ให้ วันที่ เวลา เมือง น้ำ บ้าน หนังสือ ราคา รวม ใหม่ ใหญ่ เล็ก
        ไทย คน งาน โรงเรียน""",
    "georgian": """
        და არის რომ ეს მე შენ დღე წელი ქალაქი წყალი სახლი წიგნი ფასი ახალი დიდი პატარა""",
    "armenian": """
        և է որ այս մի օր տարի քաղաք ջուր տուն գիրք գին նոր մեծ փոքր մարդ""",
}
VOCABULARY: dict[str, tuple[str, ...]] = {script: tuple(words.split()) for script, words in WORDS.items()}
UNSPACED = {"han", "japanese", "thai"}
RIGHT_TO_LEFT = {"arabic", "hebrew"}


class Face(NamedTuple):
    """A font file and what it is good for."""

    path: str
    family: str
    bold: bool
    italic: bool
    mono: bool
    hand: bool
    display: bool
    scripts: frozenset[str]


class Voice(NamedTuple):
    """A face and the script to write with it."""

    face: Face
    script: str


def pick(rng: Rng, options: Sequence[T]) -> T:
    """Draw one of the options, each as likely (ten times faster than `Generator.choice`)."""
    return options[int(rng.random() * len(options))]


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw a positive number whose logarithm is uniform."""
    return low * (high / low) ** rng.random()


@lru_cache(maxsize=1)
def faces() -> tuple[Face, ...]:
    """List the usable fonts, in an order that depends only on which are installed."""
    needed = {script: frozenset(map(ord, "".join(words))) for script, words in VOCABULARY.items()}
    needed["latin"] |= frozenset(map(ord, string.printable.strip()))
    found = []
    for path in sorted(p for root in (SYSTEM_FONTS, BUNDLED_FONTS) for p in root.rglob("*")):
        if path.suffix.lower() not in (".ttf", ".otf", ".ttc") or ODD_FONTS.match(path.name):
            continue
        try:
            font = FT2Font(str(path))
            held = font.get_charmap().keys()
        except RuntimeError:  # a damaged font file must not end the training run
            continue
        scripts = frozenset(script for script, codes in needed.items() if codes <= held)
        if scripts:
            style, name = font.style_name.lower(), path.name
            bold = bool(re.search("bold|black|heavy|demi|semi", style))
            italic = bool(re.search("ital|obli", style))
            mono = bool(MONO_FONTS.search(name)) or FaceFlags.FIXED_WIDTH in font.face_flags
            hand, display = bool(HAND_FONTS.search(name)), bool(DISPLAY_FONTS.search(name))
            found.append(Face(str(path), font.family_name, bold, italic, mono, hand, display, scripts))
    return tuple(found)


@lru_cache(maxsize=512)
def _families(script: str, traits: frozenset[str]) -> tuple[tuple[Face, ...], ...]:
    """Group the faces that write a script, and ASCII, by family: one with many weights counts once."""
    groups: dict[str, list[Face]] = {}
    for face in faces():
        able = {script, "latin"} <= face.scripts
        kinds = face.hand == ("hand" in traits) and face.mono == ("mono" in traits)
        if able and kinds and all(getattr(face, trait) for trait in traits):
            groups.setdefault(face.family, []).append(face)
    return tuple(map(tuple, groups.values()))


def voice(rng: Rng, *traits: str, foreign: float = 0.25) -> Voice:
    """Draw a script and a face that can write it.

    Parameters
    ----------
    traits : wanted properties of the face among `mono`, `hand`, `display`, `bold` and `italic`; ignored if no
        face has them. Faces that are `mono` or `hand` are for those who ask, but for a few `mono` ones.
    foreign : probability of a script other than plain Latin
    """
    script = pick(rng, tuple(VOCABULARY)) if rng.random() < foreign else "latin"
    if not traits and rng.random() < 0.12:
        traits = ("mono",)
    for wanted in (frozenset(traits), frozenset()):
        groups = _families(script, wanted) or _families("latin", wanted)
        if groups:
            face = pick(rng, pick(rng, groups))
            return Voice(face, script if script in face.scripts else "latin")
    raise RuntimeError(f"no font with Latin letters in {SYSTEM_FONTS} or {BUNDLED_FONTS}")


@lru_cache(maxsize=1024)
def styled(speech: Voice, bold: bool, italic: bool = False) -> Voice:
    """Find the voice of the same family in another weight or slant, or the same voice where there is none."""
    for face in faces():
        same = face.family == speech.face.family and face.scripts >= speech.face.scripts
        if same and (face.bold, face.italic) == (bold, italic):
            return Voice(face, speech.script)
    return speech


@lru_cache(maxsize=512)
def load(path: str, px: float) -> ImageFont.FreeTypeFont:
    """Open a font at a size in pixels."""
    return ImageFont.truetype(path, px)


@lru_cache(maxsize=100_000)
def advance(path: str, px: float, text: str) -> float:
    """Measure a string in pixels."""
    return load(path, px).getlength(text)


def digits(rng: Rng, count: int) -> str:
    """Draw a string of decimal digits."""
    return "".join(str(int(rng.random() * 10)) for _ in range(count))


def price(rng: Rng) -> str:
    """Draw an amount of money, small amounts being frequent."""
    return f"{log_uniform(rng, 0.3, 900):.2f}"


def token(rng: Rng) -> str:
    """Draw a string that is no word: a number, price, date, time, code, address, percentage or the like."""
    day, month, year = 1 + int(rng.random() * 28), 1 + int(rng.random() * 12), 1950 + int(rng.random() * 90)
    name = pick(rng, VOCABULARY["latin"])
    kind = int(rng.random() * 16)
    if kind < 3:
        return digits(rng, 1 + int(rng.random() * 4))
    if kind < 5:
        return pick(rng, ("$", "€", "£", "RM", "") if kind == 3 else ("$", "")) + price(rng)
    if kind < 8:
        dates = f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}", f"{day}.{month}.{year % 100:02}"
        return pick(rng, dates)
    if kind == 8:
        return f"{int(rng.random() * 24):02}:{int(rng.random() * 60):02}"
    if kind == 9:
        return f"{rng.random() * 100:.1f}%"
    if kind == 10:
        return f"{name}@{pick(rng, VOCABULARY['latin'])}.{pick(rng, ('com', 'org', 'net', 'de', 'edu'))}"
    if kind == 11:
        return f"www.{name}.com/{pick(rng, VOCABULARY['latin'])}"
    if kind == 12:
        return f"+{digits(rng, 2)} {digits(rng, 3)}-{digits(rng, 4)}"
    if kind == 13:
        return "".join(
            pick(rng, "ABCDEFGHJKLMNPRSTUVXYZ0123456789") for _ in range(4 + int(rng.random() * 8))
        )
    if kind == 14:
        return f"({pick(rng, VOCABULARY['latin'])})"
    return f"{rng.normal() * 10:.3f}"


def word(rng: Rng, speech: Voice, tokens: float = 0.06) -> str:
    """Draw one word, with early words of the list more likely, or a token where the face has ASCII."""
    if "latin" in speech.face.scripts and rng.random() < tokens:
        return token(rng)
    listed = VOCABULARY[speech.script]
    return listed[int(len(listed) * rng.random() ** 1.7)]


def phrase(rng: Rng, speech: Voice, count: int, tokens: float = 0.06) -> str:
    """Draw a run of words, cased at random as a label or heading is."""
    words = [word(rng, speech, tokens) for _ in range(max(1, count))]
    text = ("" if speech.script in UNSPACED else " ").join(words)
    style = rng.random()
    if style < 0.7:
        return text.capitalize() if style < 0.5 else text.title()
    return text.upper() if style < 0.82 else text
