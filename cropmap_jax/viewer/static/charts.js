// Drawings as SVG: curves over the season, and hectares by date.
const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

export function make(tag, attributes = {}, text = null) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  if (text !== null) one.textContent = text;
  return one;
}

function draw(parent, tag, attributes, text = null) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  if (text !== null) one.textContent = text;
  parent.append(one);
  return one;
}

const DAY = { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" };
const utc = (date) => new Date(`${date}T00:00:00Z`);

export function dateText(date) {
  return utc(date).toLocaleDateString("en-GB", DAY);
}

// "June 2022" of a calendar month, else its days; ends are exclusive.
export function periodText([start, end]) {
  const [first, last] = [utc(start), new Date(utc(end) - 864e5)];
  const month = { month: "long", year: "numeric", timeZone: "UTC" };
  const next = new Date(utc(end));
  const whole = first.getUTCDate() === 1 && next.getUTCDate() === 1 && next - first < 32 * 864e5;
  if (whole) return first.toLocaleDateString("en-GB", month);
  const day = { day: "numeric", month: "short", timeZone: "UTC" };
  const from = first.toLocaleDateString("en-GB", day);
  return `${from} to ${last.toLocaleDateString("en-GB", { ...day, year: "numeric" })}`;
}

export function hectareText(value) {
  const digits = value >= 100 ? 0 : 1;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })} ha`;
}

// Round steps between two numbers, about `count` of them.
export function steps(low, high, count = 4) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((v) => v * power).reverse().find((v) => v <= rough * 1.2);
  const out = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) out.push(+v.toPrecision(10));
  return out;
}

function frame(label, width, height) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("class", "chart");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg;
}

// Curves: lines of {values, kind, colour} over periods; values may be null.
export function curves(title, unit, periods, lines, asOf) {
  const [width, height, left, right, top, bottom] = [320, 164, 38, 8, 18, 34];
  const all = lines.flatMap((line) => line.values.filter((v) => v !== null));
  const said = unit ? `${title} (${unit})` : title;
  const svg = frame(`${said} by month`, width, height);
  draw(svg, "text", { x: 0, y: 11 }, said);
  if (!all.length) {
    draw(svg, "text", { x: left, y: height / 2, class: "soft" }, "no value here");
    return svg;
  }
  const pad = Math.max((Math.max(...all) - Math.min(...all)) * 0.06, 0.02);
  const [low, high] = [Math.min(...all) - pad, Math.max(...all) + pad];
  const [first, last] = [utc(periods[0][0]), utc(periods.at(-1)[1])];
  const px = (time) => left + ((time - first) / (last - first)) * (width - left - right);
  const py = (v) => height - bottom - ((v - low) / (high - low)) * (height - top - bottom);
  for (const v of steps(low, high)) {
    draw(svg, "line", { x1: left, x2: width - right, y1: py(v), y2: py(v), class: "grid" });
    draw(svg, "text", { x: left - 4, y: py(v) + 4, "text-anchor": "end", class: "soft" }, String(v).replace("-", "\u2212"));
  }
  const middle = ([start, end]) => (utc(start).getTime() + utc(end).getTime()) / 2;
  months(svg, first, last, px, height);
  for (const line of lines) {
    let path = "";
    line.values.forEach((v, i) => {
      if (v === null) return;
      const joined = path && line.values[i - 1] !== null;
      path += `${joined ? "L" : "M"}${px(middle(periods[i])).toFixed(1)},${py(v).toFixed(1)}`;
    });
    draw(svg, "path", { d: path, class: line.kind, ...(line.colour ? { stroke: line.colour } : {}) });
    if (line.kind !== "pixel") continue;
    line.values.forEach((v, i) => {
      if (v !== null) draw(svg, "circle", { cx: px(middle(periods[i])), cy: py(v), r: 2.6, class: "dot" });
    });
  }
  const at = px(utc(asOf));
  if (at >= left && at <= width - right) {
    draw(svg, "line", { x1: at, x2: at, y1: top - 4, y2: height - bottom, class: "asof" });
    const before = at > width / 2;
    draw(svg, "text", { x: at + (before ? -4 : 4), y: top + 4, "text-anchor": before ? "end" : "start", class: "soft" }, "as of");
  }
  return svg;
}

function months(svg, first, last, px, height) {
  const begins = [];
  const one = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), 1));
  for (; one < last; one.setUTCMonth(one.getUTCMonth() + 1)) if (one >= first) begins.push(new Date(one));
  const every = Math.ceil(begins.length / 6);
  begins.forEach((begin, i) => {
    if (i % every) return;
    const text = begin.toLocaleDateString("en-GB", { month: "short", timeZone: "UTC" });
    draw(svg, "text", { x: px(begin), y: height - 19, class: "soft" }, text);
    if (i === 0 || begin.getUTCMonth() < every) draw(svg, "text", { x: px(begin), y: height - 6, class: "soft" }, begin.getUTCFullYear());
    draw(svg, "line", { x1: px(begin), x2: px(begin), y1: height - 34, y2: height - 30, class: "grid" });
  });
}

// Stacked hectares by date; `pick` is told the position of the date that was clicked.
export function stacks(dates, classes, hectares, now, pick) {
  const [width, height, left, right, top, bottom] = [320, 190, 44, 6, 20, 34];
  const sums = dates.map((date) => classes.reduce((sum, one) => sum + (hectares[date][one.name] || 0), 0));
  const most = Math.max(...sums, 1e-9);
  const thousands = most >= 10000;
  const svg = frame("Hectares of each class by date of the map", width, height);
  draw(svg, "text", { x: 0, y: 11 }, thousands ? "thousand ha" : "ha");
  const py = (v) => height - bottom - (v / most) * (height - top - bottom);
  for (const v of steps(0, most)) {
    draw(svg, "line", { x1: left, x2: width - right, y1: py(v), y2: py(v), class: "grid" });
    const text = (thousands ? v / 1000 : v).toLocaleString("en");
    draw(svg, "text", { x: left - 4, y: py(v) + 4, "text-anchor": "end", class: "soft" }, text);
  }
  const step = (width - left - right) / dates.length;
  const wide = Math.min(step * 0.72, 46);
  const every = Math.ceil(dates.length / 6);
  dates.forEach((date, i) => {
    const x = left + step * i + (step - wide) / 2;
    const group = draw(svg, "g", { class: "step" });
    let below = 0;
    for (const one of classes) {
      const value = hectares[date][one.name] || 0;
      if (!value) continue;
      const box = { x, y: py(below + value), width: wide, height: Math.max(py(below) - py(below + value), 0), fill: one.colour };
      const drawn = draw(group, "rect", box);
      draw(drawn, "title", {}, `${one.title}: ${hectareText(value)}, as of ${dateText(date)}`);
      below += value;
    }
    if (i === now) draw(group, "rect", { x: x - 2, y: py(below) - 2, width: wide + 4, height: py(0) - py(below) + 3, class: "now" });
    group.addEventListener("click", () => pick(i));
    if (i % every && i !== now) return;
    const [, month, day] = date.split("-");
    const text = utc(date).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
    const year = i === 0 || month === "01" ? date.slice(0, 4) : "";
    draw(svg, "text", { x: x + wide / 2, y: height - 20, "text-anchor": "middle", class: "soft" }, day ? text : date);
    draw(svg, "text", { x: x + wide / 2, y: height - 6, "text-anchor": "middle", class: "soft" }, year);
  });
  return svg;
}
