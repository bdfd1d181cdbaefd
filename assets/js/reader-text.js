// the text in the reader: a few sections or pages in the DOM at a time, however long the book, and the way from a place
// in the text to one on the screen and back. The server counts code points, strings here count UTF-16 units.
(() => {
  const { h } = Lectern;
  const astral = /[\ud800-\udfff]/;

  function units(text, points) {
    if (!astral.test(text)) return Math.min(points, text.length);
    let at = 0;
    for (; points > 0 && at < text.length; points -= 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
    return at;
  }
  function points(text, to) {
    return astral.test(text) ? [...text.slice(0, to)].length : Math.min(to, text.length);
  }
  const length = (text) => points(text, text.length);
  Lectern.codePoints = { units, points, length };

  // which of sorted numbers is the last not above value; -1 before the first
  function floor(starts, value) {
    let low = 0, high = starts.length;
    while (low < high) { const middle = (low + high) >> 1; if (starts[middle] <= value) low = middle + 1; else high = middle; }
    return low - 1;
  }
  Lectern.floor = floor;

  // ---- blocks of text, dressed with marks: {start, end, kind, id}
  function dress(element, marks) {
    const { text, at } = element;
    const here = marks.filter((mark) => mark.start < element.end && mark.end > at);
    const stamp = JSON.stringify(here);
    if (element.stamp === stamp) return;
    element.stamp = stamp;
    const cuts = [...new Set([0, text.length, ...here.flatMap((mark) => [mark.start, mark.end]).filter((place) => place > at && place < element.end).map((place) => units(text, place - at))])].sort((a, b) => a - b);
    const made = [];
    for (let n = 0; n + 1 < cuts.length; n += 1) {
      const piece = text.slice(cuts[n], cuts[n + 1]);
      const from = at + points(text, cuts[n]);
      const over = here.filter((mark) => mark.start <= from && mark.end > from);
      made.push(over.length ? h("mark", { class: over.map((mark) => mark.kind).join(" ") }, piece) : piece);
    }
    element.replaceChildren(...made);
  }

  function drawBlock([at, text, level, goes_on]) {
    const element = h(level ? `h${Math.min(6, level + 2)}` : "p", { class: goes_on ? "goes-on" : null, data: { at } }, text);
    Object.assign(element, { at, text, end: at + length(text), stamp: "[]" });
    return element;
  }

  // numbers are of sections; data: what the server sent of one
  Lectern.textSource = (book, fetch) => ({
    kind: "text",
    count: book.sections.length,
    of: (offset) => Math.max(0, floor(book.sections, offset)),
    fetch,
    draw(number, data) {
      const element = h("section", { class: "reader-section" }, data.map(drawBlock));
      element.pieces = [...element.children];
      return element;
    },
    mark(element, marks, upto) {
      for (const piece of element.pieces) {
        dress(piece, marks);
        piece.classList.toggle("guard-edge", upto !== null && piece.at === upto);
      }
    },
  });

  // ---- the scroller
  Lectern.flow = (scroller, flow, changed) => {
    let source = null;
    let loaded = []; // {number, element}, without a gap
    let turn = 0; // of the book shown, so that a late answer is thrown away
    let working = null;
    let marks = [], upto = null;
    const store = new Map();
    const waiting = new Map();
    const vertical = () => flow.classList.contains("vertical");

    // along the way that is read: down, or from right to left
    const extent = () => (vertical() ? scroller.clientWidth : scroller.clientHeight);
    const whole = () => (vertical() ? scroller.scrollWidth : scroller.scrollHeight);
    const at = () => (vertical() ? -scroller.scrollLeft : scroller.scrollTop);
    const put = (place) => { if (vertical()) scroller.scrollLeft = -place; else scroller.scrollTop = place; };
    function along(rect) {
      const box = scroller.getBoundingClientRect();
      return vertical() ? [box.right - rect.right, box.right - rect.left] : [rect.top - box.top, rect.bottom - box.top];
    }

    async function data(numbers) {
      const mine = turn;
      const missing = numbers.filter((one) => one >= 0 && one < source.count && !store.has(one) && !waiting.has(one));
      if (missing.length) {
        const asked = source.fetch(missing).then((found) => {
          if (mine !== turn) return;
          for (const [number, value] of Object.entries(found)) store.set(Number(number), value);
        }).finally(() => { if (mine === turn) for (const one of missing) waiting.delete(one); });
        for (const one of missing) waiting.set(one, asked);
      }
      // the first is what is needed now, the others are read ahead
      await waiting.get(numbers[0]);
      return mine === turn ? store.get(numbers[0]) : undefined;
    }

    function made(number, value) {
      const element = source.draw(number, value);
      source.mark(element, marks, upto);
      return { number, element };
    }

    // what stands where while something changes above it
    function steady(change) {
      const held = loaded.find(({ element }) => along(element.getBoundingClientRect())[1] > 0)?.element;
      const before = held && along(held.getBoundingClientRect())[0];
      change();
      if (held?.isConnected) put(at() + along(held.getBoundingClientRect())[0] - before);
    }

    async function extend() {
      const mine = turn;
      for (let steps = 0; steps < 12 && mine === turn && loaded.length; steps += 1) {
        const last = loaded.at(-1).number, first = loaded[0].number;
        if (last + 1 < source.count && whole() - at() - extent() < 1.5 * extent()) {
          const value = await data([last + 1, last + 2]);
          if (mine !== turn || value === undefined) return;
          const next = made(last + 1, value);
          flow.append(next.element);
          loaded.push(next);
        } else if (first > 0 && at() < extent()) {
          const value = await data([first - 1, first - 2]);
          if (mine !== turn || value === undefined) return;
          steady(() => { const next = made(first - 1, value); flow.prepend(next.element); loaded.unshift(next); });
        } else break;
      }
      if (mine !== turn) return;
      while (loaded.length > 3 && along(loaded.at(-1).element.getBoundingClientRect())[0] > 6 * extent()) loaded.pop().element.remove();
      steady(() => { while (loaded.length > 3 && along(loaded[0].element.getBoundingClientRect())[1] < -6 * extent()) loaded.shift().element.remove(); });
      while (store.size > 60) store.delete(store.keys().next().value);
      // what comes next is at hand before it is wanted
      const end = loaded.at(-1)?.number;
      if (end !== undefined && end + 1 < source.count) data([end + 1, end + 2]).catch(() => {});
    }

    function ensure() {
      if (!working) working = extend().catch((error) => console.warn("lectern: part of the book did not arrive", error)).finally(() => { working = null; });
      return working;
    }

    // ---- places
    const pieces = () => loaded.flatMap(({ element }) => element.pieces);
    function pieceAt(offset) {
      const all = pieces();
      // those of a page are in the order of the text too, but some characters are not printed
      const place = floor(all.map((one) => one.at), offset);
      return all[Math.max(0, place)];
    }
    function point(piece, offset) {
      let left = units(piece.text, Math.max(0, Math.min(offset, piece.end) - piece.at));
      const walker = document.createTreeWalker(piece, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (left <= node.length) return [node, left];
        left -= node.length;
      }
      return [piece, piece.childNodes.length];
    }
    function range(start, end) {
      const first = pieceAt(start), last = pieceAt(Math.max(start, end - 1));
      if (!first || !last) return null;
      const found = document.createRange();
      found.setStart(...point(first, start));
      found.setEnd(...point(last, end));
      return found;
    }
    function offsetOf(node, place) {
      let piece = (node.nodeType === 3 ? node.parentElement : node).closest?.("[data-at]");
      if (!piece) {
        // between two paragraphs: the next one's beginning, or the end of the last
        const next = node.childNodes[place];
        const inside = next?.nodeType === 1 ? next.matches("[data-at]") ? next : next.querySelector("[data-at]") : null;
        if (inside) return inside.at;
        const before = pieces().filter((one) => one.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING || node.contains(one));
        return before.length ? before.at(-1).end : null;
      }
      const upto_here = document.createRange();
      upto_here.selectNodeContents(piece);
      upto_here.setEnd(node, place);
      return piece.at + points(piece.text, upto_here.toString().length);
    }

    // a selection of whole paragraphs ends where the next one begins: it does not belong to it
    function endBefore(offset) {
      const all = pieces(), next = all.findIndex((piece) => piece.at >= offset);
      const last = all[(next < 0 ? all.length : next) - 1];
      return last ? Math.min(offset, last.end) : offset;
    }

    function visible() {
      const size = extent();
      return pieces().filter((piece) => { const [from, to] = along(piece.getBoundingClientRect()); return to > 4 && from < size; });
    }
    // the first character on the screen, also within a long paragraph
    function position() {
      const first = visible()[0];
      if (!first) return null;
      if (along(first.getBoundingClientRect())[0] >= 0) return first.at;
      let low = first.at, high = first.end;
      while (low < high) {
        const middle = (low + high) >> 1;
        const [node, place] = point(first, middle);
        const probe = document.createRange();
        probe.setStart(node, place);
        probe.setEnd(node, Math.min(place + 1, node.length ?? place));
        const rect = probe.getClientRects()[0];
        if (!rect || along(rect)[1] <= 6) low = middle + 1; else high = middle;
      }
      return Math.min(low, first.end - 1);
    }
    // the end of the last paragraph that can be read to its end
    function bottom() {
      const size = extent();
      const read = visible().filter((piece) => along(piece.getBoundingClientRect())[1] <= size + 2);
      return (read.at(-1) || visible()[0])?.end ?? null;
    }

    async function go(offset, { end = offset + 1, away = 0.12 } = {}) {
      if (!source) return;
      const number = source.of(offset);
      if (!loaded.some((one) => one.number === number)) {
        const mine = ++turn;
        waiting.clear();
        const value = await data([number, number + 1]);
        if (mine !== turn || value === undefined) return;
        const first = made(number, value);
        loaded = [first];
        flow.replaceChildren(first.element);
        put(0);
      }
      if (working) await working;
      await ensure();
      const piece = pieceAt(offset);
      if (!piece) return;
      const rect = (offset > piece.at && range(offset, end)?.getClientRects()[0]) || piece.getBoundingClientRect();
      const page = source.kind === "pages" && away === 0 && loaded.find((one) => one.number === number)?.element;
      if (page) put(at() + along(page.getBoundingClientRect())[0] - 8);
      else put(at() + along(rect)[0] - (piece.at === offset && away === 0 ? 8 : extent() * away));
      await ensure();
      hold();
      changed();
    }

    // what stands at the top, to be there again when the window has another size: a page and how far into it, or words
    let held = null, keeping = false;
    function hold() {
      if (keeping) return;
      const page = source?.kind === "pages" && loaded.find(({ element }) => along(element.getBoundingClientRect())[1] > 4);
      if (page) { const [from, to] = along(page.element.getBoundingClientRect()); held = { page, part: -from / (to - from) }; } else held = { offset: source && position() };
    }
    async function keep() {
      if (!source || !held) return;
      keeping = true;
      const { page, part, offset } = held;
      if (page?.element.isConnected) {
        const [from, to] = along(page.element.getBoundingClientRect());
        put(at() + from + part * (to - from));
        await ensure();
      } else if (offset !== null && offset !== undefined) await go(offset, { away: 0 });
      // the scrolling of this is over by then, and who reads on moves on from here
      setTimeout(() => { keeping = false; }, 200);
    }

    function page(direction) {
      // a line of the old page stays, so that the eye finds its way
      const line = source?.kind === "text" ? parseFloat(getComputedStyle(flow).lineHeight) || 28 : 40;
      const step = Math.max(line, Math.floor((extent() - line * 1.2) / line) * line);
      put(Math.max(0, at() + direction * step));
      ensure();
    }

    let settled = null;
    scroller.addEventListener("scroll", () => {
      ensure();
      clearTimeout(settled);
      settled = setTimeout(() => { hold(); changed(); }, 120);
    }, { passive: true });
    scroller.addEventListener("wheel", (event) => {
      if (!vertical() || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
      event.preventDefault();
      put(at() + event.deltaY);
    }, { passive: false });

    return {
      go, keep, page, range, offsetOf, endBefore, position, bottom, ensure, visible,
      async show(next, offset, options) {
        turn += 1;
        source = next;
        store.clear();
        waiting.clear();
        loaded = [];
        held = null;
        flow.replaceChildren();
        await go(offset, { away: 0, ...options });
      },
      mark(next, guard) {
        [marks, upto] = [next, guard];
        for (const { element } of loaded) source.mark(element, marks, upto);
      },
      // after a change of type or size: the same words stay on the screen
      async again(change) {
        const held = position();
        change();
        if (held !== null && source) await go(held, { away: 0 });
      },
      close() { turn += 1; source = held = null; loaded = []; store.clear(); waiting.clear(); flow.replaceChildren(); },
      loaded: () => loaded.map((one) => one.number),
    };
  };
})();
