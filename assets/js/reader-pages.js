// pages of a PDF in the reader: the picture of each, its words above it, unseen, so that they can be selected, and
// marks where they stand
(() => {
  const { h } = Lectern;
  const { length } = Lectern.codePoints;
  const brush = document.createElement("canvas").getContext("2d");
  const SIZE = 100;

  // words of one line that follow each other are one run, or a selection would jump
  function runs(pieces) {
    const made = [];
    for (const [start, text, line, x0, y0, x1, y1] of pieces) {
      const last = made.at(-1);
      const gap = last ? start - last.end : 0;
      if (last && last.line === line && gap >= 0 && gap <= 2 && x0 >= last.x1 - 0.01) {
        last.text += " ".repeat(gap) + text;
        last.end = start + length(text);
        last.x1 = x1;
        last.y0 = Math.min(last.y0, y0);
        last.y1 = Math.max(last.y1, y1);
      } else made.push({ start, text, line, x0, y0, x1, y1, end: start + length(text) });
    }
    return made;
  }

  function drawRun(run, ratio) {
    brush.font = `${SIZE}px serif`;
    const high = (run.y1 - run.y0) * ratio * 0.82; // in widths of the page
    const wide = (brush.measureText(run.text).width / SIZE) * high || 1;
    const element = h("span", { data: { at: run.start }, style: {
      left: `${run.x0 * 100}%`, top: `${run.y0 * 100}%`, "font-size": `${high * 100}cqw`, transform: `scaleX(${(run.x1 - run.x0) / wide})`,
    } }, run.text);
    Object.assign(element, { at: run.start, text: run.text, end: run.end });
    return element;
  }

  Lectern.pageSource = (book, fetch) => ({
    kind: "pages",
    count: book.pages.length,
    of: (offset) => Math.max(0, Lectern.floor(book.pages, offset)),
    fetch,
    draw(number, { image, ratio, pieces }) {
      const layer = h("div", { class: "page-words" }, runs(pieces).map((run) => drawRun(run, ratio)));
      const marks = h("div", { class: "page-marks", aria: { hidden: "true" } });
      const picture = h("img", { src: image, alt: "", draggable: "false" });
      const element = h("section", { class: "reader-section reader-page", style: { "aspect-ratio": String(1 / ratio) }, aria: { label: Lectern.t("reader.page", { n: number + 1 }) } }, picture, marks, layer);
      // a page without words still has a place in the text
      if (!layer.children.length) {
        const empty = h("span", { data: { at: book.pages[number] } });
        Object.assign(empty, { at: book.pages[number], text: "", end: book.pages[number] });
        layer.append(empty);
      }
      element.pieces = [...layer.children].sort((a, b) => a.at - b.at);
      element.words = pieces;
      return element;
    },
    mark(element, marks, upto) {
      const made = [];
      for (const mark of marks) {
        const lines = new Map();
        for (const [start, text, line, x0, y0, x1, y1] of element.words) {
          if (start >= mark.end || start + length(text) <= mark.start) continue;
          const box = lines.get(line);
          lines.set(line, box ? [Math.min(box[0], x0), Math.min(box[1], y0), Math.max(box[2], x1), Math.max(box[3], y1)] : [x0, y0, x1, y1]);
        }
        for (const [x0, y0, x1, y1] of lines.values()) {
          made.push(h("span", { class: mark.kind, style: { left: `${x0 * 100}%`, top: `${y0 * 100}%`, width: `${(x1 - x0) * 100}%`, height: `${(y1 - y0) * 100}%` } }));
        }
      }
      const edge = upto === null ? null : element.words.find(([start]) => start >= upto);
      if (edge && element.words.some(([start]) => start < upto)) made.push(h("span", { class: "page-guard", style: { left: `${edge[3] * 100}%`, top: `${edge[4] * 100}%` } }));
      element.querySelector(".page-marks").replaceChildren(...made);
    },
  });
})();
