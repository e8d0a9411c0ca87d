// The figures of the status page, again every few seconds while the page is seen, and curves of what they grew by.

const SECONDS = 2;
const POINTS = 60;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

const section = document.getElementById("figures");
let last = JSON.parse(section.dataset.first);
const curves = new Map();

function size(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${bytes < 99.95 && unit ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}

function shown(name, rate) {
  const value = name === "received" || name === "sent" ? size(rate) : rate < 9.95 ? rate.toFixed(1) : Math.round(rate);
  return section.dataset.perSecond.replace("{value}", value);
}

function draw(name, rate) {
  const values = curves.get(name) ?? [];
  values.push(rate);
  if (values.length > POINTS) values.shift();
  curves.set(name, values);
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, at) => `${((POINTS - values.length + at) * 120) / (POINTS - 1)},${29 - (28 * value) / most}`);
  section.querySelector(`[data-curve="${name}"]`).setAttribute("points", points.join(" "));
}

async function show() {
  if (document.hidden) return;
  try {
    const answer = await fetch(section.dataset.url, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const now = await answer.json();
    for (const [name, value] of Object.entries(now.shown)) {
      const figure = section.querySelector(`[data-figure="${name}"]`);
      if (figure && figure.textContent !== value) figure.textContent = value;
    }
    for (const [name, value] of Object.entries(now.counters)) {
      const rate = Math.max((value - last.counters[name]) / Math.max(now.seconds - last.seconds, 0.001), 0);
      section.querySelector(`[data-rate="${name}"]`).textContent = shown(name, rate);
      draw(name, rate);
    }
    last = now;
  } catch {
    // the connection was lost: it is asked again later
  }
}

setInterval(show, SECONDS * 1000);
