"use strict";
// Everybody's names and texts are put in with textContent and data-… attributes from fixed words only.

const STEPS = ["open", "dispatched", "accepted", "in progress", "done", "verified"];
const SEVERITIES = ["critical", "warning", "info"];
const SILENT_AFTER_MS = 25000; // the server speaks at least each 10 s
const RETRY_MS = 3000;

const byId = (id) => document.getElementById(id);
const unfolded = new Set(); // lists that the reader has unfolded
let snapshot = null;
let receivedAt = 0;
let lostSince = null;

// ---- small pieces ---------------------------------------------------------------------------------------------------

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setClass(node, className) {
  if (node.getAttribute("class") !== className) node.setAttribute("class", className);
}

function mark(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  setMark(svg, name);
  return svg;
}

function setMark(svg, name) {
  const use = svg.firstChild;
  if (use.getAttribute("href") !== `#mark-${name}`) use.setAttribute("href", `#mark-${name}`);
}

/** Make the children of `list` show `items` in order; nodes stay where their key stays, so focus and scroll do too. */
function sync(list, items, keyOf, build, fill) {
  const known = list.nodes || (list.nodes = new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, node] of known) {
    if (!wanted.has(key)) { node.remove(); known.delete(key); }
  }
  let at = list.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    if (!node) { node = build(item); known.set(key, node); }
    fill(node, item);
    if (node === at) at = at.nextSibling; else list.insertBefore(node, at);
  }
}

// ---- words ----------------------------------------------------------------------------------------------------------

function span(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(0)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** How long ago, or for how long, while the snapshot itself grows older. A lost one stands still. */
function aged(seconds) {
  return span(seconds + (lostSince === null ? (Date.now() - receivedAt) / 1000 : 0));
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-3)) return value.toExponential(2);
  return value.toLocaleString("en", size >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 });
}

const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many || one + "s"}`;

function clock(at_ns) {
  return new Date(at_ns / 1e6).toLocaleTimeString("en-GB");
}

// ---- lists with a fold and a filter ---------------------------------------------------------------------------------

const haystack = (values) => values.filter(Boolean).join(" ").toLowerCase();

function show(name, all, total, limit, keyOf, textOf, build, fill) {
  const wanted = byId("filter").value.trim().toLowerCase();
  const found = wanted ? all.filter((item) => textOf(item).includes(wanted)) : all;
  const shown = unfolded.has(name) ? found : found.slice(0, limit);
  sync(byId(name), shown, keyOf, build, fill);
  const empty = byId(`${name}-empty`);
  empty.hidden = found.length > 0;
  if (!empty.dataset.text) empty.dataset.text = empty.textContent;
  setText(empty, all.length && wanted ? "None of these fits." : empty.dataset.text);
  const count = byId(`${name}-count`);
  const part = wanted ? `${found.length} of ${total}` : `${total}`;
  if (count) setText(count, total ? part : "");
  const more = byId(`${name}-more`);
  more.hidden = found.length <= limit;
  more.setAttribute("aria-expanded", String(unfolded.has(name)));
  const cut = !wanted && total > all.length ? ` of ${total}, most urgent first` : "";
  setText(more, unfolded.has(name) ? "Show fewer" : `Show all ${found.length}${cut}`);
  return found.length;
}

// ---- alerts ---------------------------------------------------------------------------------------------------------

function buildAlert() {
  const row = make("li");
  const head = make("p", "head");
  const badge = make("span", "badge");
  row.parts = {
    badge, mark: mark("info"), severity: make("span"), asset: make("span", "asset name"), kind: make("span", "plain-badge"),
    state: make("span", "plain-badge"), since: make("span", "since figure"), cause: make("p", "cause text"), evidence: make("p", "evidence"),
  };
  badge.append(row.parts.mark, row.parts.severity);
  head.append(badge, row.parts.asset, row.parts.kind, row.parts.state, row.parts.since);
  row.append(head, row.parts.cause, row.parts.evidence);
  return row;
}

function fillAlert(row, alert) {
  const { parts } = row;
  const severity = SEVERITIES.includes(alert.severity) ? alert.severity : "info";
  row.dataset.severity = severity;
  setClass(parts.badge, `badge ${severity}`);
  setMark(parts.mark, severity);
  setText(parts.severity, severity);
  setText(parts.asset, alert.asset);
  parts.kind.hidden = alert.kind === "machine";
  setText(parts.kind, { silent: "device silent", gateway: "gateway" }[alert.kind] || "sensor in doubt");
  const alone = alert.stage === "gateway";
  parts.state.hidden = alert.state !== "acknowledged" && !alone;
  setText(parts.state, alone ? "by the gateway alone" : "acknowledged");
  setText(parts.since, `for ${aged(alert.age_s)}`);
  setText(parts.cause, alert.action ? `${alert.cause}. To do: ${alert.action}` : alert.cause);
  const lines = alert.evidence.map((one) => {
    const value = one.value === null ? "no value" : `${number(one.value)}${one.unit === "1" ? "" : " " + one.unit}`;
    return `${one.device} ${one.metric} ${value}${one.normal ? ` (normal ${one.normal})` : ""}`;
  });
  sync(parts.evidence, lines.map((line, index) => ({ line, index })), (one) => one.index, () => make("span"), (node, one) => setText(node, one.line));
}

// ---- orders ---------------------------------------------------------------------------------------------------------

function buildOrder() {
  const row = make("li");
  const head = make("p", "head");
  const path = make("ol", "path");
  for (const step of STEPS) {
    const item = make("li");
    item.append(make("span", "", step));
    path.append(item);
  }
  row.parts = {
    priority: make("span", "plain-badge"), asset: make("span", "asset name"), title: make("span", "text"),
    escalated: make("span", "strong-badge", "escalated"), since: make("span", "since figure"), path, who: make("p", "quiet-text text"),
  };
  head.append(row.parts.priority, row.parts.asset, row.parts.title, row.parts.escalated, row.parts.since);
  row.append(head, path, row.parts.who);
  return row;
}

function whoHas(order) {
  const words = [];
  if (order.executor) words.push(`with ${order.executor}`);
  else words.push(order.escalated ? "nobody is left who can do it" : "looking for somebody");
  if (order.state === "on_hold") words.push(`on hold${order.note ? `: ${order.note}` : ""}`);
  if (order.state === "done") words.push("waiting for the sensor to agree");
  if (order.due_s !== null && order.state === "dispatched") {
    words.push(order.due_s >= 0 ? `answer due in ${span(order.due_s)}` : `answer overdue by ${span(-order.due_s)}`);
  }
  if (order.attempt > 1) words.push(`attempt ${order.attempt}`);
  if (order.tried.length) words.push(`not ${order.tried.join(", ")}`);
  if (order.reopened) words.push(`reopened ${order.reopened} ×`);
  return words.join(" · ");
}

function fillOrder(row, order) {
  const { parts } = row;
  setText(parts.priority, order.priority);
  setText(parts.asset, order.asset);
  setText(parts.title, order.title);
  parts.escalated.hidden = !order.escalated;
  setText(parts.since, `open for ${aged(order.age_s)}`);
  setClass(parts.path, order.state === "on_hold" ? "path held" : "path");
  const held = order.state === "on_hold" ? ", on hold" : "";
  parts.path.setAttribute("aria-label", `Step ${order.step + 1} of 6: ${STEPS[order.step]}${held}`);
  [...parts.path.children].forEach((item, index) => {
    setClass(item, index < order.step ? "past" : index === order.step ? "here" : "");
    if (index === order.step) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
  });
  setText(parts.who, whoHas(order));
}

function buildClosed() {
  const row = make("li");
  const head = make("p", "head");
  const badge = make("span", "badge");
  row.parts = { badge, mark: mark("verified"), state: make("span"), asset: make("span", "asset name"), title: make("span", "text"),
    who: make("span", "quiet-text name"), since: make("span", "since figure") };
  badge.append(row.parts.mark, row.parts.state);
  head.append(badge, row.parts.asset, row.parts.title, row.parts.who, row.parts.since);
  row.append(head);
  return row;
}

function fillClosed(row, order) {
  const { parts } = row;
  const verified = order.state === "verified";
  setClass(parts.badge, verified ? "badge" : "badge over");
  setMark(parts.mark, verified ? "verified" : "cancelled");
  setText(parts.state, verified ? "verified" : "cancelled");
  setText(parts.asset, order.asset);
  setText(parts.title, order.title);
  setText(parts.who, order.executor ? `by ${order.executor}, took ${span(order.took_s)}` : `took ${span(order.took_s)}`);
  setText(parts.since, `${aged(order.age_s)} ago`);
}

// ---- what is alive --------------------------------------------------------------------------------------------------

function buildTile() {
  const tile = make("li", "tile");
  const line = make("span", "line");
  const state = make("span", "state");
  tile.parts = { name: make("span", "name"), mark: mark("up"), word: make("span"), state, extra: make("span", "extra figure") };
  state.append(tile.parts.mark, tile.parts.word);
  line.append(state, tile.parts.extra);
  tile.append(tile.parts.name, line);
  return tile;
}

function fillAgent(tile, agent) {
  const { parts } = tile;
  const presence = ["up", "down", "unknown"].includes(agent.presence) ? agent.presence : "unknown";
  tile.dataset.presence = presence;
  setText(parts.name, agent.agent);
  setMark(parts.mark, presence === "up" && agent.trouble ? "warning" : presence);
  const since = presence === "up" ? agent.uptime_s : agent.age_s;
  const words = { up: "up", down: "down, silent", unknown: "not heard yet" }[presence];
  const troubled = presence === "up" && agent.trouble;
  setText(parts.word, troubled ? agent.trouble : since === null || presence === "unknown" ? words : `${words} ${aged(since)}`);
  setText(parts.extra, agent.role === "executor" ? `executor ${agent.load}/${agent.max_load}` : agent.role);
  const stats = Object.entries(agent.stats).map(([name, value]) => `${name} ${number(value)}`).join("\n");
  tile.title = [agent.agent, agent.version && `version ${agent.version}`, agent.skills.length && `can: ${agent.skills.join(", ")}`, agent.trouble, stats].filter(Boolean).join("\n");
}

function fillDevice(tile, device) {
  const { parts } = tile;
  tile.classList.toggle("quiet", device.quiet);
  setText(parts.name, device.device);
  setMark(parts.mark, device.quiet ? "down" : "up");
  setText(parts.word, device.quiet ? `quiet ${aged(device.age_s)}` : device.age_s < 2 ? "now" : `${span(device.age_s)} ago`);
  tile.title = `${device.device}\nasset ${device.asset}\ngateway ${device.gateway}`;
}

function buildGateway() {
  const row = make("li");
  row.parts = { name: make("span", "name"), rest: make("span", "text") };
  row.append(row.parts.name, " ", row.parts.rest);
  return row;
}

function fillGateway(row, gateway) {
  setText(row.parts.name, gateway.gateway);
  setText(row.parts.rest, `${number(gateway.per_s)} readings/s${gateway.owner ? `, watched by ${gateway.owner}` : ", watched by nobody"}`);
}

function buildEvent() {
  const row = make("li");
  row.parts = { time: make("time", "figure"), mark: make("span"), text: make("span", "text") };
  row.append(row.parts.time, row.parts.mark, row.parts.text);
  return row;
}

function fillEvent(row, event) {
  setText(row.parts.time, clock(event.at_ns));
  setText(row.parts.mark, event.mark);
  setClass(row.parts.mark, SEVERITIES.includes(event.mark) ? event.mark : "");
  setText(row.parts.text, `${event.subject}: ${event.text}`);
}

// ---- the whole ------------------------------------------------------------------------------------------------------

function summary({ totals, agents }) {
  const words = [];
  const other = totals.alerts - totals.critical;
  if (totals.critical) words.push(plural(totals.critical, "critical alert"));
  if (other) words.push(plural(other, totals.critical ? "other alert" : "alert"));
  if (totals.escalated) words.push(`${plural(totals.escalated, "order")} nobody can take`);
  const down = agents.filter((agent) => agent.presence === "down").length;
  if (down) words.push(`${plural(down, "agent")} down`);
  if (words.length) return words.join(", ") + ".";
  return totals.agents || totals.devices ? "Nothing is wrong." : "Waiting for the first agents…";
}

function drawSpark(trail) {
  const top = Math.max(1, ...trail) * 1.1;
  const x = (index) => (180 * (60 - trail.length + index + 0.5) / 60).toFixed(1);
  const y = (value) => (35 - 33 * value / top).toFixed(1);
  const line = trail.map((value, index) => `${index ? "L" : "M"}${x(index)} ${y(value)}`).join("");
  byId("spark-line").setAttribute("d", line);
  byId("spark-area").setAttribute("d", line ? `${line}L${x(trail.length - 1)} 36L${x(0)} 36Z` : "");
  const peak = Math.max(0, ...trail);
  const low = trail.length ? Math.min(...trail) : 0;
  byId("spark").setAttribute("aria-label", `Readings per second in the last minute: between ${number(low)} and ${number(peak)}`);
}

function render() {
  if (!snapshot) return;
  const { totals } = snapshot;
  setText(byId("site"), snapshot.site);
  setText(byId("broker"), snapshot.broker);
  setText(byId("clock"), clock(snapshot.at_ns));
  setText(byId("verdict"), summary(snapshot));
  setText(byId("verdict-detail"), [
    plural(totals.orders, "order") + " open", `${plural(totals.verified, "order")} verified`,
    `${totals.agents_up} of ${plural(totals.agents, "agent")} up`,
    totals.devices_quiet ? `${totals.devices_quiet} of ${plural(totals.devices, "device")} quiet` : plural(totals.devices, "device"),
  ].join(" · "));
  setText(byId("rate"), number(Math.round(snapshot.per_s * 10) / 10));
  drawSpark(snapshot.trail);
  const rejected = Object.values(snapshot.rejected).reduce((sum, count) => sum + count, 0);
  setText(byId("rate-detail"), `${plural(totals.readings, "reading")} in all${rejected ? ` · ${plural(rejected, "message")} rejected` : ""}`);

  const big = totals.alerts + totals.orders > 12 || totals.devices > 48 || byId("filter").value !== "";
  byId("filter-row").hidden = !big;
  const found = show("alerts", snapshot.alerts, totals.alerts, 6, (one) => one.id,
    (one) => haystack([one.asset, one.severity, one.cause, one.kind, one.gateway, ...one.evidence.map((each) => each.device)]), buildAlert, fillAlert)
    + show("orders", snapshot.orders, totals.orders, 5, (one) => one.id,
      (one) => haystack([one.asset, one.title, one.cause, one.executor, one.state, one.priority]), buildOrder, fillOrder)
    + show("closed", snapshot.closed, snapshot.closed.length, 6, (one) => one.id,
      (one) => haystack([one.asset, one.title, one.executor, one.state]), buildClosed, fillClosed)
    + show("agents", snapshot.agents, totals.agents, 12, (one) => one.agent,
      (one) => haystack([one.agent, one.role, one.presence, ...one.skills]), buildTile, fillAgent)
    + show("devices", snapshot.devices, totals.devices, 36, (one) => `${one.gateway}/${one.device}`,
      (one) => haystack([one.device, one.asset, one.gateway]), buildTile, fillDevice);
  setText(byId("filter-count"), byId("filter").value.trim() ? plural(found, "entry", "entries") : "");
  sync(byId("gateways"), snapshot.gateways.slice(0, 8), (one) => one.gateway, buildGateway, fillGateway);
  sync(byId("story"), snapshot.story.slice(-12).reverse(), (one) => one.number, buildEvent, fillEvent);
  byId("story-empty").hidden = snapshot.story.length > 0;
  const wrong = totals.alerts ? `(${totals.alerts}) ` : "";
  document.title = `${lostSince ? "lost · " : wrong}edgemesh ${snapshot.site}`;
}

function renderLink() {
  const lost = byId("lost");
  const linked = !snapshot || snapshot.linked;
  lost.hidden = lostSince === null && linked;
  byId("main").className = lost.hidden ? (snapshot ? "" : "waiting") : "stale";
  if (lost.hidden) return;
  const known = snapshot ? ` This was the state at ${clock(snapshot.at_ns)}.` : "";
  if (lostSince !== null) setText(lost, `Connection to the console lost. Trying again…${known}`);
  else if (!snapshot.totals.agents) setText(lost, "Connecting to the broker…");
  else setText(lost, `The broker can't be reached. Trying again…${known}`);
}

// ---- the stream -----------------------------------------------------------------------------------------------------

let stream = null;
let heardAt = 0;
let retry = null;

function lose() {
  if (lostSince === null) lostSince = Date.now();
  renderLink();
  render();
}

function connect() {
  if (stream) stream.close();
  retry = null;
  heardAt = Date.now();
  const source = stream = new EventSource("/events");
  source.addEventListener("snapshot", (event) => {
    heardAt = receivedAt = Date.now();
    snapshot = JSON.parse(event.data);
    lostSince = null;
    render();
    renderLink();
  });
  source.addEventListener("alive", () => { heardAt = Date.now(); });
  source.addEventListener("error", () => {
    if (source !== stream) return;
    lose();
    if (source.readyState === EventSource.CLOSED && retry === null) retry = setTimeout(connect, RETRY_MS);
  });
}

setInterval(() => {
  if (Date.now() - heardAt > SILENT_AFTER_MS && retry === null) { lose(); connect(); }
}, 5000);

for (const button of document.querySelectorAll(".more")) {
  const name = button.id.replace("-more", "");
  button.addEventListener("click", () => {
    if (unfolded.has(name)) unfolded.delete(name); else unfolded.add(name);
    render();
  });
}
byId("filter").addEventListener("input", render);
setInterval(() => { if (Date.now() - receivedAt > 900) render(); }, 1000); // ages go on where nothing else does
connect();
