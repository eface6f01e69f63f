"use strict";
// The slider of the alarms. All figures stand in the page already; this only works them out for another rate.
const dial = document.querySelector(".dial");
if (dial) {
  const find = (name) => document.getElementById("dial-" + name);
  const stops = JSON.parse(dial.dataset.stops); // [rate, threshold, share of normal rows alarmed, of anomalies caught]
  const [rate, volume, share] = ["rate", "volume", "share"].map(find);
  const percent = (part) => {
    const p = part * 100;
    if (p >= 99 && p < 100) return p.toFixed(2) + " %";
    return (p < 99.5 ? String(Number(p.toPrecision(2))) : p.toFixed(0)) + " %";
  };
  const figures = (n) => {
    if (n >= 1e9) return Number((n / 1e9).toPrecision(3)) + " billion";
    if (n >= 1e6) return Number((n / 1e6).toPrecision(3)) + " million";
    if (n >= 1000) {
      const step = n < 10000 ? 10 : 100;
      return (Math.round(n / step) * step).toLocaleString("en-US");
    }
    return n >= 10 || n === 0 ? n.toFixed(0) : n.toFixed(1);
  };
  const number = (field, least, most, otherwise) => {
    const value = field ? Number(field.value) : NaN;
    const fits = field !== null && field.value !== "" && value >= least && value <= most;
    if (field) field.setAttribute("aria-invalid", String(!fits));
    return fits ? value : otherwise;
  };
  const put = (name, text) => {
    const place = find(name);
    if (place) place.textContent = text.replaceAll(" ", "\u00a0");
  };
  const bar = (name, x, width) => {
    const part = find(name);
    part.setAttribute("x", (x * 100).toFixed(2));
    part.setAttribute("width", (width * 100).toFixed(2));
  };
  const mark = document.querySelector("#scores-chart .threshold");
  const drawing = document.querySelector("#scores-chart svg[data-domain]");
  const show = () => {
    const [asked, threshold, wrong, caught] = stops[Number(rate.value)];
    const rows = number(volume, 1, 1e12, Number(volume.defaultValue));
    rate.setAttribute("aria-valuetext", percent(asked) + " of normal rows");
    put("asked", percent(asked));
    put("score", (Math.abs(threshold) >= 0.001 && Math.abs(threshold) < 10000 ? threshold.toFixed(3)
      : String(Number(threshold.toPrecision(4)))).replace("-", "\u2212"));
    let said;
    if (share) {
      const rare = number(share, 0, 100, Number(share.defaultValue)) / 100;
      const right = rows * rare * caught, missed = rows * rare - right, false_ = rows * (1 - rare) * wrong;
      const alarms = right + false_;
      put("alarms", figures(alarms));
      put("right", figures(right));
      put("false", figures(false_));
      put("missed", figures(missed));
      put("precision", alarms ? percent(right / alarms) : "–");
      put("recall", percent(caught));
      bar("bar-right", 0, alarms ? right / alarms : 0);
      bar("bar-false", alarms ? right / alarms : 0, alarms ? false_ / alarms : 0);
      bar("bar-caught", 0, caught);
      bar("bar-missed", caught, 1 - caught);
      said = `${figures(alarms)} alarms a day, ${figures(right)} of them right; ${figures(missed)} anomalies missed.`;
    } else {
      put("false", figures(rows * asked));
      said = `At most ${figures(rows * asked)} false alarms a day.`;
    }
    find("said").textContent = said;
    if (mark && drawing) {
      const [low, high, left, right, top, bottom] = drawing.dataset.domain.split(" ").map(Number);
      const at = left + ((Math.min(Math.max(threshold, low), high) - low) / (high - low)) * (right - left);
      mark.setAttribute("d", `M${at.toFixed(1)} ${top}V${bottom}`);
      const note = document.querySelector("#scores-chart .note");
      if (note) {
        const late = at > left + (right - left) * 0.6;
        note.setAttribute("x", at + (late ? -6 : 6));
        note.setAttribute("text-anchor", late ? "end" : "start");
      }
    }
  };
  for (const field of [rate, volume, share]) if (field) field.addEventListener("input", show);
  for (const part of dial.querySelectorAll("[hidden]")) part.hidden = false;
}
