// Sorts, filters and pages the tables with DataTables; lists the questions with it too.
// Text from the data never becomes HTML: cells are escaped, or built as nodes that hold text.
"use strict";

const escaped = DataTable.util.escapeHtml;
const dataOf = (box) => JSON.parse(box.querySelector("script").textContent);

// Empty cells stay last, whichever way numbers are sorted.
const ordered = (sign) => (a, b) =>
  a === null || b === null ? (a === null) - (b === null) : sign * (a - b);
DataTable.type("measure", "order", { asc: ordered(1), desc: ordered(-1) });

function layout(count) {
  return {
    autoWidth: false,
    deferRender: true,
    order: [],
    pageLength: 25,
    lengthMenu: [10, 25, 100, 500],
    layout: {
      topStart: count > 5 ? "search" : null,
      topEnd: count > 10 ? "pageLength" : null,
      bottomStart: count > 10 ? "info" : null,
      bottomEnd: count > 10 ? "paging" : null,
    },
    language: { emptyTable: "No rows.", search: "Search" },
  };
}

function measure(cell, type) {
  const [value, text] = Array.isArray(cell) ? cell : [cell, String(cell ?? "")];
  if (type === "display") return escaped(text);
  if (type !== "filter") return value;
  // Readers filter by the number they see, which is rounded.
  const seen = Number.parseFloat(text);
  return String(Number.isNaN(seen) ? (value ?? "") : seen);
}

function column({ numeric, marks }, texts) {
  const search = { extend: numeric ? "searchNumber" : "searchText" };
  return {
    type: numeric ? "measure" : "string",
    className: numeric ? "number" : "",
    render: numeric
      ? measure
      : (cell, type) =>
          type === "display" || type === "filter" ? escaped(texts[cell]) : texts[cell],
    createdCell: (td, cell) => {
      const mark = numeric ? "" : marks[texts[cell]];
      if (mark) td.classList.add(mark);
      if (!numeric && texts[cell].length > 48) td.classList.add("long");
    },
    columnControl: [{ extend: "dropdown", icon: "search", text: "Filter", content: [search] }],
  };
}

function showTable(box) {
  const { columns, texts, rows } = dataOf(box);
  new DataTable(box.querySelector("table"), {
    ...layout(rows.length),
    data: rows,
    columns: columns.map((each) => column(each, texts)),
  });
  reachable(box);
}

function reachable(box) {
  // The library wraps the table anew; a part that scrolls must be reached by keyboard.
  box.querySelector(".scroll")?.classList.replace("scroll", "whole");
  for (const part of box.querySelectorAll(".dt-layout-table")) part.tabIndex = 0;
}

// --- Questions ----------------------------------------------------------------------------------

function element(tag, css, ...children) {
  const made = document.createElement(tag);
  made.className = css;
  made.append(...children);
  return made;
}

/** Return a row of the data by names. */
function named({ kinds, names, targets, texts }, row) {
  const [target, kind, id, dataset, question, options, answer, picture, replies] = row;
  return {
    target: targets[target].name,
    kind: kind === null ? "" : kinds[kind],
    told: kind === null ? "" : names[kind],
    id,
    dataset: texts[dataset],
    question: texts[question],
    options: options.map((option, place) => {
      const mark = targets[target].marks[place];
      return mark ? `${mark}: ${texts[option]}` : texts[option];
    }),
    answer,
    picture,
    replies: replies.map(([chosen, right, score], group) => {
      const [arm, runs] = targets[target].groups[group];
      return { arm: texts[arm], chosen, right, score, runs };
    }),
  };
}

/** Return a question's picture, with what is to be found drawn over it, and what was given. */
function pictureOf({ id, picture, answer }, given = []) {
  if (!picture) return element("span", "note", "picture left out");
  const image = element("img", "");
  image.alt = `picture of ${id}`;
  image.src = picture;
  sharpen(image);
  if (!Array.isArray(answer)) return image;
  const drawing = drawn("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none" });
  for (const [css, shapes] of [["true", answer], ["given", given]]) {
    for (const [label, mask, parts] of shapes) drawing.append(shapeOf(label, mask, parts, css));
  }
  return element("span", "over", image, drawing);
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function shapeOf(label, mask, parts, css) {
  const rectangles = parts.map(([x1, y1, x2, y2]) =>
    drawn("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }),
  );
  const told = drawn("title", {}, `${css}: ${label}`);
  return drawn("g", { class: `${css} ${mask ? "mask" : "box"}` }, told, ...rectangles);
}

/** Return in words what shapes there are. */
function wordsOfShapes(shapes) {
  const counts = new Map();
  for (const [label] of shapes) counts.set(label, (counts.get(label) ?? 0) + 1);
  const told = [...counts].map(([label, n]) => (n > 1 ? `${n} x ${label}` : label));
  return told.join(", ") || "none";
}

/** Show the pixels of a picture that is made larger. */
function sharpen(image) {
  const mark = () => image.classList.toggle("sharp", image.naturalWidth < 128);
  if (image.complete) mark();
  else image.addEventListener("load", mark);
}
for (const image of document.querySelectorAll(".card img")) sharpen(image);

function questionOf({ target, kind, told, id, dataset, question, options, answer }) {
  const listed = options.map((option, index) =>
    element(
      "li",
      index === answer ? "good" : "",
      `${option}${index === answer ? " (answer)" : ""}`,
    ),
  );
  const lines = Array.isArray(answer) ? [`To be found: ${wordsOfShapes(answer)}`] : listed;
  return element(
    "div",
    "",
    element("p", "", element("span", "tag", target), told ? element("span", `tag ${kind}`, told) : ""),
    element("p", "asked", question),
    element("ul", "", ...lines),
    element("p", "note", dataset ? `${id}, ${dataset}` : id),
  );
}

function answersOf(row) {
  const { options, replies, answer: truth } = row;
  const lines = replies.map(({ arm, chosen, right, score, runs }) => {
    const good = right > runs / 2;
    const share = runs > 1 ? element("span", "note", ` (${right} of ${runs} runs right)`) : "";
    const mark = element("span", good ? "good" : "bad", good ? "✓ " : "✗ ");
    if (Array.isArray(truth)) {
      const words = `${arm}: ${wordsOfShapes(chosen)}, score ${score} %`;
      return element("li", "located", pictureOf(row, chosen), element("span", "", mark, words, share));
    }
    const answer = chosen < 0 ? "no answer could be read" : options[chosen];
    const said = `${arm}: ${answer}`;
    return element("li", "", mark, said, share);
  });
  return element("ul", "", ...lines);
}

const wordsOf = ({ target, told, id, dataset, question, options }) =>
  [target, told, id, dataset, question, ...options].join(" ");

function showQuestions(box) {
  const data = dataOf(box);
  const node = (build) => (row, type) => (type === "display" ? build(named(data, row)) : "");
  const table = new DataTable(box.querySelector("table"), {
    ...layout(data.rows.length),
    pageLength: 10,
    ordering: false,
    data: data.rows,
    columns: [
      { title: "Picture", data: null, className: "picture", render: node((row) => pictureOf(row)) },
      {
        title: "Question",
        data: null,
        render: (row, type) => {
          if (type === "display") return questionOf(named(data, row));
          return type === "filter" ? escaped(wordsOf(named(data, row))) : "";
        },
      },
      { title: "Answers", data: null, render: node(answersOf) },
    ],
  });
  for (const select of box.querySelectorAll("select[data-field]")) {
    const place = select.dataset.field === "target" ? 0 : 1;
    select.addEventListener("change", () => {
      const fixed = (_, row) => select.value === "" || row[place] === Number(select.value);
      table.search.fixed(select.dataset.field, fixed).draw();
    });
  }
  reachable(box);
}

// --- When they come into sight ------------------------------------------------------------------

const waiting = new IntersectionObserver(
  (seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      waiting.unobserve(target);
      (target.matches(".questions") ? showQuestions : showTable)(target);
    }
  },
  { rootMargin: "800px" },
);
for (const box of document.querySelectorAll(".table, .questions")) waiting.observe(box);
