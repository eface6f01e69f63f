"use strict";
// Every text goes into the page as text; there is no markup from outside anywhere.

const EVERY = 2000; // milliseconds between two looks
const NS = "http://www.w3.org/2000/svg";
const FEW = 12; // alerts shown until all are asked for
const state = { token: "", model: "", timer: 0, drawn: "", all: false };
const at = (id) => document.getElementById(id);

function make(tag, about = {}, ...children) {
  const node = document.createElement(tag);
  fill(node, about, children);
  return node;
}

function draw(tag, about = {}, ...children) {
  const node = document.createElementNS(NS, tag);
  fill(node, about, children);
  return node;
}

function fill(node, about, children) {
  for (const [name, value] of Object.entries(about)) node.setAttribute(name, value);
  node.append(...children);
}

const percent = (share) => (share === 0 ? "0 %" : share < 0.0995 ? `${(100 * share).toPrecision(2)} %` : `${Math.round(100 * share)} %`);
const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 });
const short = (value) => (Math.abs(value) >= 1000 ? value.toExponential(1) : Number(value.toPrecision(3)).toString());
const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString("en-GB");

// Asking

async function ask(path, options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${state.token}` };
  return fetch(path, { ...options, headers, credentials: "omit", cache: "no-store", redirect: "error" });
}

async function look() {
  clearTimeout(state.timer);
  try {
    const answer = await ask("watch/data");
    if (answer.status === 401) return shut(state.token ? "The token is wrong." : "");
    if (!answer.ok) throw new Error(`the service said ${answer.status}`);
    show(await answer.json());
    tell(`as of ${clock(Date.now() / 1000)}`, false);
  } catch (error) {
    tell(`no answer: ${error.message}. Trying again.`, true);
  }
  state.timer = setTimeout(look, document.hidden ? 5 * EVERY : EVERY);
}

async function say(alert, known, item) {
  let problem = "";
  try {
    const answer = await ask("watch/feedback", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ alert: alert.id, known }),
    });
    if (!answer.ok) problem = (await answer.json()).error;
  } catch (error) {
    problem = `not noted: ${error.message}.`;
  }
  if (problem) item.append(make("p", { class: "problem", role: "alert" }, problem));
  else look();
}

function tell(text, trouble) {
  at("state").textContent = text;
  at("state").classList.toggle("trouble", trouble);
}

// The door

function shut(why) {
  state.token = "";
  sessionStorage.removeItem("token");
  at("live").hidden = true;
  at("door").hidden = false;
  tell(why, Boolean(why));
  at("token").focus();
}

function enter(token) {
  state.token = token;
  sessionStorage.setItem("token", token);
  at("door").hidden = true;
  look();
}

// Showing

function show(data) {
  at("live").hidden = false;
  const names = data.models.map((model) => model.name);
  if (!names.includes(state.model)) state.model = names[0] || "";
  at("models").replaceChildren(
    ...names.map((name) => {
      const button = make("button", { type: "button", "aria-pressed": String(name === state.model) }, name);
      button.addEventListener("click", () => { state.model = name; state.drawn = ""; show(data); });
      return button;
    }),
  );
  const model = data.models.find((found) => found.name === state.model);
  if (!model) return;
  tiles(model, data);
  charts(model, data);
  const drawn = JSON.stringify([model.name, state.all, model.alerts]);
  if (drawn !== state.drawn) alerts(model); // so that a button under a finger stays
  state.drawn = drawn;
  drift(model, data);
}

function tile(title, text, more, look = "") {
  return make("div", { class: `tile ${look}` }, make("h3", {}, title), make("strong", {}, text), make("p", {}, more));
}

function tiles(model, data) {
  const rows = model.series.reduce((sum, step) => sum + step.rows, 0);
  const alarms = model.series.reduce((sum, step) => sum + step.alerts, 0);
  const { drift: found, watched } = model;
  const high = found !== null && found.alerts_drifted;
  const tilesNow = [
    tile("Rows, last half hour", number(rows), `version ${model.version}`),
    tile("Alerts, last half hour", rows ? `${number(alarms)} (${percent(alarms / rows)})` : "0",
      `promised at most ${percent(model.rate)} of normal rows${high ? ", and more than chance explains" : ""}`, high ? "alarm" : ""),
  ];
  if (watched.evidence === null) {
    tilesNow.push(tile("Scores", "not watched", "the model's calibration is approximate"));
  } else if (watched.alarm_row !== null) {
    tilesNow.push(tile("Scores", watched.direction, `unlike the calibration rows since row ${number(watched.alarm_row)} looked at`, "alarm"));
  } else {
    tilesNow.push(tile("Scores", "as calibrated", `${number(watched.rows)} rows looked at`, "good"));
  }
  if (found === null) tilesNow.push(tile("Columns", "not known yet", "no row was looked at"));
  else if (found.many) tilesNow.push(tile("Columns", `${found.many} of ${found.columns} drifted`, `advice: ${found.advice}`, "warn"));
  else tilesNow.push(tile("Columns", "no drift", `${found.columns} compared`, "good"));
  at("tiles").replaceChildren(...tilesNow);
}

function charts(model, data) {
  const now = Date.now() / 1000;
  const shown = model.series.filter((step) => step.rows);
  const span = Math.min(data.span * data.steps, Math.max(300, shown.length ? now - shown[0].at : 0));
  const rates = shown.map((step) => [step.at, step.alerts / step.rows]);
  at("rates").replaceChildren(
    chart([["high", rates]], [model.rate, `promised ${percent(model.rate)}`], now, span, percent, "Alert rate over time", at("rates").clientWidth),
  );
  at("scores").replaceChildren(
    chart([["mean", shown.map((step) => [step.at, step.mean])], ["high", shown.map((step) => [step.at, step.highest])]],
      [model.threshold, "alert"], now, span, short, "Score over time: highest and mean", at("scores").clientWidth),
  );
}

function chart(lines, [limit, limitName], now, span, write, title, room) {
  const [width, height, left, bottom] = [Math.max(260, room), 170, 52, 22];
  const values = lines.flatMap(([, points]) => points.map((point) => point[1])).concat([limit]);
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (title.startsWith("Alert")) low = 0;
  const air = (high - low || 1) * 0.12;
  high += air;
  if (low !== 0) low -= air;
  const x = (moment) => left + (width - left - 8) * Math.max(0, 1 - (now - moment) / span);
  const y = (value) => height - bottom - (height - bottom - 8) * ((value - low) / (high - low));
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const value of [low, (low + high) / 2, high]) {
    picture.append(
      draw("line", { class: "axis", x1: left, x2: width - 8, y1: y(value), y2: y(value) }),
      draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, write(value)),
    );
  }
  for (const share of [1, 2 / 3, 1 / 3, 0]) {
    picture.append(draw("text", { x: x(now - share * span), y: height - 6, "text-anchor": share === 0 ? "end" : share === 1 ? "start" : "middle" },
      share ? `−${Math.round((share * span) / 60)} min` : "now"));
  }
  picture.append(
    draw("line", { class: "limit", x1: left, x2: width - 8, y1: y(limit), y2: y(limit) }),
    draw("text", { class: "limit-name", x: left + 4, y: y(limit) - 4 }, limitName),
  );
  for (const [look, points] of lines) {
    if (points.length === 1) picture.append(draw("circle", { class: "dot", cx: x(points[0][0]), cy: y(points[0][1]), r: 2.5 }));
    picture.append(draw("polyline", { class: look, points: points.map(([moment, value]) => `${x(moment).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  }
  return picture;
}

function alerts(model) {
  at("no-alerts").hidden = model.alerts.length > 0;
  const shown = state.all ? model.alerts : model.alerts.slice(0, FEW);
  at("alerts").replaceChildren(...shown.map((alert) => oneAlert(alert, model)));
  at("more").hidden = shown.length === model.alerts.length;
  at("more").textContent = `Show all ${model.alerts.length}`;
}

function oneAlert(alert, model) {
  const name = alert.key ? alert.key.map((value, i) => `${model.keys[i]} ${value}`).join(", ") : `request ${alert.request_id}, row ${alert.row}`;
  const why = make("p", { class: "why" });
  const [first, ...others] = alert.reasons;
  const told = first ? [first, ...others.filter((reason) => reason.effect > 0.05 * first.effect)] : [];
  for (const { column, value, normal, effect } of told) {
    why.append(make("span", {}, `${column} is ${value} `, make("em", {}, `(normal: ${normal}), score ${effect < 0 ? "" : "+"}${short(effect)}`)));
  }
  if (!first) why.append(make("em", {}, "This model holds no reference values for reasons."));
  const item = make("li", { class: alert.known === 0 ? "false" : "", "data-alert": alert.id },
    make("div", { class: "when" }, clock(alert.at), make("small", {}, `score ${short(alert.score)}, p ${short(alert.p_value)}`), make("span", { class: "key" }, name)),
    why);
  const does = make("div", { class: "does" });
  for (const [known, text] of [[1, "Anomaly"], [0, "False alarm"]]) {
    const said = alert.known === known;
    const button = make("button", { type: "button", "aria-pressed": String(said), "aria-label": `${text}: ${name}` }, text);
    if (alert.why_not) { button.disabled = true; button.title = alert.why_not; }
    button.addEventListener("click", () => { does.querySelectorAll("button").forEach((each) => { each.disabled = true; }); say(alert, said ? null : known, item); });
    does.append(button);
  }
  item.append(does);
  if (alert.why_not) item.append(make("p", { class: "quiet cannot" }, `Cannot be confirmed: ${alert.why_not}`));
  return item;
}

function drift(model, data) {
  const found = model.drift;
  if (found === null) {
    at("drift-said").textContent = "Nothing to compare yet.";
    at("drift").replaceChildren();
    return;
  }
  const since = model.watched.since === null ? "" : `, the first at ${clock(model.watched.since)}`;
  at("drift-said").textContent = `${found.why} ${number(found.rows)} rows compared${since}. Nothing that stays the same is called drifted more often than in ${number(1 / data.level)} comparisons.`;
  at("drift").replaceChildren(...found.drifted.map(oneColumn));
}

function oneColumn(change) {
  const legend = make("p", { class: "legend" }, make("i", { class: "was" }), "as learnt", make("i", { class: "is" }), "now");
  const what = [`${change.size} change, PSI ${short(change.psi)}`];
  if (change.missing && change.missing[0] !== change.missing[1]) what.push(`missing ${percent(change.missing[0])} → ${percent(change.missing[1])}`);
  if (change.unseen && change.unseen[1] > change.unseen[0]) what.push(`unknown ${percent(change.unseen[0])} → ${percent(change.unseen[1])}`);
  const item = make("li", { "data-column": change.column }, make("h3", {}, change.column, " ", make("small", {}, what.join(", "))), legend);
  const most = Math.max(...change.bars.map((bar) => Math.max(bar.before, bar.now)), 1e-9);
  for (const bar of change.bars) {
    const picture = draw("svg", { viewBox: "0 0 200 14", preserveAspectRatio: "none", role: "img", "aria-label": `${bar.label}: ${percent(bar.before)} as learnt, ${percent(bar.now)} now` },
      draw("rect", { class: "was", x: 0, y: 1, width: (200 * bar.before) / most, height: 5 }),
      draw("rect", { class: "is", x: 0, y: 8, width: (200 * bar.now) / most, height: 5 }));
    item.append(make("div", { class: "bar" }, make("span", { title: bar.label }, bar.label), picture));
  }
  return item;
}

at("more").addEventListener("click", () => { state.all = true; look(); });
at("door").addEventListener("submit", (event) => { event.preventDefault(); enter(at("token").value.trim()); at("token").value = ""; });
document.addEventListener("visibilitychange", () => { if (!document.hidden && state.token) look(); });
const kept = sessionStorage.getItem("token");
if (kept) enter(kept);
else shut("");
