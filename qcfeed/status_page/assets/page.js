"use strict";
// Asks for the status every two seconds and shows it. All text comes from the service, and some of it from
// strangers: it is set as text only, never as markup (the page's Content-Security-Policy enforces it).

const EVERY_MS = 2000;    // between two requests
const PATIENCE_MS = 5000; // for one request
const LOST_S = 7;         // an answer that is older is not live
const TOKEN = "qcfeed-page-token";
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);
let shown = null;     // the last answer
let answered = null;  // when it came, by two clocks, and how old it was then
let failure = "";     // why the last request got no answer; empty if it got one
let waiting = false;  // for the token

// ------------------------------------------------------------ elements

function element(name, classes, ...children) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

function classes(node, value) {
  if (node.className !== value) node.className = value;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Draw again only what has changed, so that the focus, a selection and open details stay.
const before = new Map();
function changed(name, value) {
  const now = JSON.stringify(value);
  if (before.get(name) === now) return false;
  before.set(name, now);
  return true;
}

function command(line) {
  const item = element("li", "", element("code", "", line));
  if (navigator.clipboard) {
    const copy = element("button", "", "Copy");
    copy.type = "button";
    copy.setAttribute("aria-label", `Copy ${line}`);
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(line).then(
        () => text(copy, "Copied"),
        () => text(copy, "Select it"),
      );
      setTimeout(() => text(copy, "Copy"), 1500);
    });
    item.append(copy);
  }
  return item;
}

function facts(pairs) {
  const list = element("dl", "facts");
  for (const [label, value] of pairs) {
    list.append(element("dt", "", label), element("dd", label === "line" ? "mono" : "", value));
  }
  return list;
}

function finding(found) {
  const parts = [element("p", "cause", found.cause), facts(found.facts)];
  if (found.next.length) {
    parts.push(element("p", "next", "Type next:"), element("ul", "commands", ...found.next.map(command)));
  }
  return parts;
}

// ------------------------------------------------------------ the page

function parted(headline) {
  const cut = headline.indexOf("  ");
  return cut < 0 ? ["", headline] : [headline.slice(0, cut), headline.slice(cut + 2)];
}

function showVerdict(page) {
  const [kind, rest] = parted(page.conclusion.text);
  text(at("kind"), kind);
  text(at("said"), rest);
  text(at("left"), page.time_left.text && `memory: ${page.time_left.text}`);
  classes(at("left"), `t-${page.time_left.tone}`);
  if (changed("notes", page.notes)) {
    at("notes").replaceChildren(...page.notes.map((each) => element("li", `t-${each.tone}`, each.text)));
  }
  const [first, ...others] = page.findings;
  if (changed("first", first)) at("first").replaceChildren(...(first ? finding(first) : []));
  const all = [...others, ...page.to_recheck];
  at("findings").hidden = at("to-findings").hidden = all.length === 0;
  if (changed("others", all)) showOthers(all);
}

function showOthers(all) {
  const open = new Set([...document.querySelectorAll("#others details[open]")].map((each) => each.dataset.kind));
  at("others").replaceChildren(...all.map((each) => {
    const [kind] = parted(each.headline);
    const details = element("details", each.tone, element("summary", "", each.headline), ...finding(each));
    details.dataset.kind = kind;
    details.open = open.has(kind);
    return details;
  }));
}

function showFigures(figures) {
  if (!changed("figures", figures)) return;
  at("figures").replaceChildren(...figures.map((each) => element("div", "",
    element("dt", "", each.name),
    element("dd", `value t-${each.tone}`, each.value),
    element("dd", "beside", each.beside))));
}

// A path may be broken after a slash.
function breakable(path) {
  return path.split(/(?<=\/)/).flatMap((part) => [part, element("wbr")]).slice(0, -1);
}

function fill(cell, content, column) {
  const rank = `rank${column.rank}`;
  classes(cell, `${rank} ${column.right ? "right " : ""}t-${content.tone}`);
  if (content.trend.length) cell.replaceChildren(spark(content.trend));
  else if (cell.textContent !== content.text) cell.replaceChildren(...breakable(content.text));
}

function showTable(id, table) {
  if (!changed(id, table)) return;
  const section = at(id);
  text(section.querySelector(".about"), table.rows.length ? table.about : table.empty);
  section.querySelector("table").hidden = table.rows.length === 0;
  if (changed(`${id} columns`, table.columns)) {
    const titles = table.columns.map((column) => {
      const title = element("th", `rank${column.rank}${column.right ? " right" : ""}`, column.title);
      title.scope = "col";
      return title;
    });
    section.querySelector("thead").replaceChildren(element("tr", "", ...titles));
    section.querySelector("tbody").replaceChildren();
  }
  const body = section.querySelector("tbody");
  while (body.rows.length > table.rows.length) body.deleteRow(-1);
  table.rows.forEach((row, number) => {
    const line = body.rows[number] || body.insertRow();
    row.forEach((content, place) => fill(line.cells[place] || line.insertCell(), content, table.columns[place]));
  });
}

// ------------------------------------------------------------ lines

// Each stretch of known values is a line of its own.
function lines(points, x, y) {
  const stretches = [[]];
  for (const [when, value] of points) {
    if (value === null) stretches.push([]);
    else stretches.at(-1).push(`${x(when).toFixed(2)},${y(value).toFixed(2)}`);
  }
  return stretches.filter((each) => each.length)
    .map((each) => drawn("polyline", { points: (each.length > 1 ? each : [...each, ...each]).join(" ") }));
}

function spark(values) {
  const most = Math.max(1, ...values.filter((each) => each !== null));
  const image = drawn("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" });
  const step = 100 / Math.max(1, values.length - 1);
  image.append(...lines(values.map((value, place) => [place, value]), (place) => place * step, (value) => 18 - 14 * value / most));
  return image;
}

function plot(series, began) {
  const span = Math.max(1, series.curve[0][0]);
  const known = series.curve.map(([, value]) => value).filter((value) => value !== null);
  const most = Math.max(1, series.limit || 0, ...known) * 1.05;
  const x = (when) => 100 * (1 - when / span);
  const y = (value) => 100 * (1 - value / most);
  const image = drawn("svg", { class: "plot", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img",
    "aria-label": `${series.name}: ${series.now} now, between ${series.least} and ${series.most}` });
  image.append(drawn("line", { x1: 0, x2: 100, y1: 100, y2: 100 }));
  if (series.limit) image.append(drawn("line", { class: "limit", x1: 0, x2: 100, y1: y(series.limit), y2: y(series.limit) }));
  if (began !== null && began <= span) image.append(drawn("line", { class: "began", x1: x(began), x2: x(began), y1: 0, y2: 100 }));
  image.append(...lines(series.curve, x, y));
  return image;
}

function showTimeline(page) {
  text(at("timeline-about"), page.timeline_about + (page.began_s === null ? "" : "; the dotted line is when the first finding began"));
  if (!changed("timeline", [page.timeline, page.began_s])) return;
  at("series").replaceChildren(...page.timeline.map((each) => element("figure", "",
    element("figcaption", "", element("span", "name", each.name), element("span", "now", each.now)),
    plot(each, page.began_s),
    element("div", "scale", element("span", "", each.least === each.most ? `${each.least} throughout` : `${each.least} to ${each.most}`),
      element("span", "", each.limit ? "dashed: the limit" : "")))));
}

function show(page) {
  at("entry").hidden = true;
  at("page").hidden = false;
  text(at("identity"), page.identity);
  showVerdict(page);
  showFigures(page.figures);
  showTable("tasks", page.location_table);
  showTable("feeds", page.feed_table);
  showTable("subscribers", page.subscriber_table);
  showTimeline(page);
  if (changed("checks", page.checked)) at("checked").replaceChildren(...facts(page.checked).childNodes);
}

// ------------------------------------------------------------ live or not

const clock = (stamp) => `${stamp.slice(11, 19)} UTC`;

function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  const padded = (number) => String(number).padStart(2, "0");
  return minutes < 60 ? `${minutes}m${padded(whole % 60)}s` : `${Math.floor(minutes / 60)}h${padded(minutes % 60)}m`;
}

// Two clocks: one stands still while a laptop sleeps, the other may be set.
function silence() {
  if (answered === null) return Infinity;
  return answered.age + Math.max(0, performance.now() - answered.ticks, Date.now() - answered.date) / 1000;
}

function tell() {
  if (waiting) return;
  const quiet = silence();
  const lost = failure !== "" || (shown !== null && quiet > LOST_S);
  classes(document.body, lost ? "lost" : shown ? "live" : "");
  at("lost").hidden = !lost;
  if (lost) tellLost(quiet);
  else if (shown) text(at("answered"), `live, ${clock(shown.taken_at)}`);
  if (!shown) return;
  // What was seen last may be over, or worse by now: nothing old is called healthy, or painted so.
  const tone = shown.conclusion.tone;
  classes(at("verdict"), `card ${lost ? "" : tone}`);
  at("headline").hidden = lost && tone !== "bad";
  at("as-of").hidden = !lost;
  text(at("as-of"), `What follows was seen at ${clock(shown.taken_at)}, and may have changed since.`);
  named(lost ? "NO ANSWER" : at("kind").textContent, lost ? "bad" : tone);
}

function tellLost(quiet) {
  text(at("answered"), shown ? `not live: last answer ${clock(shown.taken_at)}` : "not live: no answer yet");
  text(at("lost-for"), shown ? `for ${duration(quiet)}; the last answer is of ${clock(shown.taken_at)}` : "yet");
  text(at("lost-why"), `${failure || "the service has not answered the last request yet"}; trying again`);
  const name = shown ? ` --instance ${shown.instance}` : "";
  if (changed("lost", name)) at("lost-next").replaceChildren(command(`qcfeed${name} diagnose`));
  if (!shown) named("NO ANSWER", "bad");
}

function named(kind, tone) {
  const name = shown ? `${shown.instance} · qcfeed` : "qcfeed";
  const title = kind ? `${kind} · ${name}` : name;
  if (document.title !== title) document.title = title;
  text(at("spoken"), kind);
  const icon = `page/${tone}.svg`;
  if (at("icon").getAttribute("href") !== icon) at("icon").setAttribute("href", icon);
}

// ------------------------------------------------------------ requests

function demandToken(why) {
  waiting = true;
  shown = answered = null;
  classes(document.body, "");
  at("page").hidden = at("lost").hidden = at("forget").hidden = true;
  at("entry").hidden = false;
  text(at("entry-why"), why);
  text(at("answered"), "waiting for the token");
  named("", "plain");
  at("token").focus();
}

async function ask() {
  const token = sessionStorage.getItem(TOKEN);
  const response = await fetch("page/status.json", {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (response.status === 401) {
    sessionStorage.removeItem(TOKEN);
    demandToken(token ? "The service refuses this token." : "");
    return;
  }
  const answer = await response.json();
  if (!response.ok) throw new Error([answer.message, answer.hint].filter(Boolean).join("; "));
  shown = answer;
  failure = "";
  answered = { ticks: performance.now(), date: Date.now(), age: Number(response.headers.get("Age")) || 0 };
  at("forget").hidden = !token;
  show(answer);
}

function reason(error) {
  if (error.name === "TimeoutError") return `the service did not answer within ${PATIENCE_MS / 1000} s`;
  if (error instanceof SyntaxError) return "what answers is not qcfeed";
  return error instanceof TypeError ? "the service cannot be reached" : error.message;
}

async function round() {
  try {
    await ask();
  } catch (error) {
    failure = reason(error);
  }
  tell();
  if (!waiting) setTimeout(round, EVERY_MS);
}

at("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value.trim());
  at("token").value = "";
  waiting = false;
  round();
});
at("forget").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  location.reload();
});
setInterval(tell, 500);
round();
