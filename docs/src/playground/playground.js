// The playground page: it asks the core, compiled to WebAssembly, and shows what it answers.

const EXAMPLE = {
  policy: `{
  "version": "v1",
  "tag-convention": "incremental",
  "repositories": [
    {
      "repository": "python",
      "tags": ["*"]
    },
    {
      "repository": "ubuntu",
      "tags": ["jammy-20240111", "jammy-20240125"]
    },
    {
      "repository": "redis",
      "tags": ["*"],
      "enabled": false
    }
  ]
}
`,
  tags: `python:3.11
python:3.11-1
python:3.11-2
python:3.12
python:3.9-4
ubuntu:jammy-20240111
redis:7.2
`,
  schedule: "7d",
  created: "2024-01-03T09:30",
  dialect: "documented",
};

const field = (name) => document.getElementById(`pg-${name}`);

/** An element with attributes and children; text is text, whatever it looks like. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function table(heads, rows) {
  const head = heads.map((text) => element("th", { scope: "col" }, text));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell ?? ""))));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

function count(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** Puts the cursor where a finding is; lines and columns count from 1, columns in characters. */
function show(finding) {
  const policy = field("policy");
  const lines = policy.value.split("\n");
  const before = lines.slice(0, finding.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
  const column = [...(lines[finding.line - 1] ?? "")].slice(0, finding.column - 1).join("").length;
  policy.focus();
  policy.setSelectionRange(before + column, before + column + 1);
}

function showFindings(findings) {
  const items = findings.map((finding) => {
    const text = `${finding.severity}[${finding.code}]: ${finding.message}`;
    if (!finding.line) return element("li", {}, text);
    const place = element("button", { type: "button" }, `line ${finding.line}, column ${finding.column}`);
    place.addEventListener("click", () => show(finding));
    return element("li", {}, text, " ", place);
  });
  field("findings").replaceChildren(...items);
}

function showPlan(plan) {
  if (!plan) {
    field("summary").textContent = "No plan: see above what is wrong.";
    field("plan").replaceChildren();
    return;
  }
  const parts = [
    [plan.images.length, count(plan.images.length, "image")],
    [plan.skipped.length, `${plan.skipped.length} skipped`],
    [plan.notFound.length, `${plan.notFound.length} not found`],
  ];
  const told = parts.filter(([number], index) => index === 0 || number > 0).map(([, text]) => text);
  const over = plan.limitExceeded ? `; that is more than the ${plan.limit} that a workflow may run` : "";
  field("summary").textContent = `${told.join(", ")}; ${plan.tagConvention} tags${over}`;
  const images = plan.images.map((row) => [row.repository, row.tag, row.scanTag, row.patchTag]);
  const tables = [table(["Repository", "Tag", "Scan", "Patch to"], images)];
  if (plan.skipped.length) {
    tables.push(table(["Skipped", "Reason"], plan.skipped.map((row) => [`${row.repository}:${row.tag}`, row.reason])));
  }
  if (plan.notFound.length) {
    tables.push(table(["Not found"], plan.notFound.map((row) => [`${row.repository}:${row.tag}`])));
  }
  field("plan").replaceChildren(...tables);
}

function showReasons(explanations) {
  const rows = (explanations ?? []).map((row) => [row.repository, row.tag, row.verdict, row.explanation, row.rule]);
  const heads = ["Repository", "Tag", "Verdict", "Why", "Decided by"];
  field("why").replaceChildren(...(rows.length ? [table(heads, rows)] : []));
}

function month({ month, days }) {
  const [year, number] = month.split("-").map(Number);
  const first = new Date(Date.UTC(year, number - 1, 1));
  const length = new Date(Date.UTC(year, number, 0)).getUTCDate();
  const cells = Array.from({ length: (first.getUTCDay() + 6) % 7 }, () => element("td"));
  for (let day = 1; day <= length; day += 1) {
    const isRun = days.includes(day);
    cells.push(element("td", isRun ? { class: "pg-run", title: "run" } : {}, String(day)));
  }
  const weeks = [];
  while (cells.length) weeks.push(element("tr", {}, ...cells.splice(0, 7)));
  const heads = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"].map((day) => element("th", { scope: "col" }, day));
  const head = element("thead", {}, element("tr", {}, ...heads));
  return element("table", {}, element("caption", {}, month), head, element("tbody", {}, ...weeks));
}

function showCalendar(schedule) {
  field("schedule-error").textContent = schedule.Err ?? "";
  const calendar = schedule.Ok;
  field("runs").textContent = calendar
    ? `cron ${calendar.cron}; first run ${calendar.nextRun ?? "never"}`
    : "No calendar: see above what is wrong.";
  field("calendar").replaceChildren(...(calendar?.months ?? []).map(month));
}

const NAMES = Object.keys(EXAMPLE);

/** What the address says, or the example. */
function fill() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const name of NAMES) field(name).value = said.get(name) ?? EXAMPLE[name];
}

function update(answer) {
  const typed = Object.fromEntries(NAMES.map((name) => [name, field(name).value]));
  const changed = NAMES.filter((name) => typed[name] !== EXAMPLE[name]).map((name) => [name, typed[name]]);
  const hash = new URLSearchParams(changed).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  // The browser leaves the seconds out where they are 0.
  const created = `${typed.created.padEnd("2024-01-03T09:30:00".length, ":00")}Z`;
  const told = JSON.parse(answer(JSON.stringify({ ...typed, created })));
  showFindings(told.findings);
  field("tags-error").textContent = told.tags.Err ?? "";
  showPlan(told.plan);
  showReasons(told.explanations);
  showCalendar(told.schedule);
}

async function start() {
  fill();
  try {
    const core = await import("./cssc_playground.js");
    await core.default();
    const form = field("form");
    form.addEventListener("input", () => update(core.answer));
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", () => {
      fill();
      update(core.answer);
    });
    update(core.answer);
    field("status").hidden = true;
  } catch (error) {
    field("status").append(` It was not loaded: ${error}`);
  }
}

start();
