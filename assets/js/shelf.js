// the shelf: books as cards, files on their way in, files that were refused
(() => {
  const { h, t, icon, button, keyed, seat, given } = Lectern;

  function state(item) {
    if (item.state === "reading") {
      const percent = Math.floor(item.progress * 100);
      const left = item.seconds_left === null ? "" : t("shelf.left", { time: Lectern.duration(item.seconds_left) });
      const speed = item.speed ? t("shelf.speed", { n: item.speed }) : "";
      return { text: t("shelf.reading", { n: percent }), more: left, speed, chapter: item.chapter, tone: "busy" };
    }
    if (item.state === "stopped") {
      const percent = Math.floor(item.progress * 100);
      return { text: percent ? t("shelf.stopped_at", { n: percent }) : t("shelf.stopped"), tone: "idle" };
    }
    if (item.state === "read" && item.recall !== null && item.recall !== undefined) {
      return { text: t("shelf.read"), more: t("shelf.recall", { n: Math.round(item.recall * 100) }), hint: t("settings.recall_hint"), tone: "good" };
    }
    if (tooLong(item)) return { text: t("shelf.long"), more: t("shelf.long_more"), hint: t("shelf.long_hint", { limit: Lectern.tokens(Lectern.modelNow().limit) }), tone: "idle" };
    return { text: t("shelf." + item.state), tone: { read: "good", failed: "bad", waiting: "idle", unread: "idle" }[item.state] };
  }

  // more than the model can hold: it cannot be read whole, and is asked by its passages
  const tooLong = (item) => item.state === "failed" && item.tokens > (Lectern.modelNow?.()?.limit ?? Infinity);

  Lectern.panel("shelf", (root, send, gradio) => {
    let items = [];
    let asking = null; // the book whose removal waits for a yes
    let welcomed = false;
    let greeting = null; // the welcome book while it was chosen for the reader: what is dropped takes its place
    const fresh = new Set(); // added, and not yet in a list that the server sent
    const there = (id) => fresh.has(id) || items.some((item) => item.id === id);

    const picker = h("input", {
      type: "file", multiple: true, class: "hidden-file", id: "add-books", accept: given.suffixes.join(","), tabindex: "-1", aria: { label: t("shelf.add") },
      onchange: () => { take([...picker.files]); picker.value = ""; },
    });
    const zone = h("button", { type: "button", class: "drop-zone", onclick: () => picker.click() });
    const heading = h("h2", { id: "shelf-heading" });
    const count = h("span", { class: "count" });
    const cards = h("ul", { class: "cards", aria: { labelledby: "shelf-heading" } });
    const finder = h("div", { class: "finder" });
    const results = h("section", { class: "hits", hidden: true, aria: { live: "polite" } });
    const back = h("div", { class: "undo", role: "status", hidden: true });
    const same = h("div", { class: "undo twin", role: "status", hidden: true });
    const arrivals = Lectern.arrivals({ gradio, send, draw: () => draw(), settle });
    const gone = Lectern.removedBooks({ gradio, send, draw: () => draw() });
    root.append(h("div", { class: "panel-head" }, heading, count), picker, zone, finder, arrivals.notice, same, back, cards, results);

    // ---- finding: titles at once, here; the full text a moment later, there
    let wanted = "", tagged = null, found = null, asked = 0, undone = null, twin = null, later = null, stamp = null;
    let order = Lectern.store.read("localStorage", "order") || "added";
    const box = h("input", { type: "search", class: "find-box", maxlength: 200, oninput: () => seek(box.value),
      onkeydown: (event) => { if (event.key === "Enter" && !event.isComposing && addressed()) fetchAddress(addressed()); } });
    const sorter = h("select", { class: "order-box", onchange: () => { order = sorter.value; Lectern.store.write("localStorage", "order", order); draw(); } });
    const chips = h("div", { class: "chips", role: "group" });
    finder.append(h("div", { class: "finder-row" }, box, sorter), chips);
    const orders = {
      added: () => 0,
      title: (a, b) => (a.title || a.filename).localeCompare(b.title || b.filename, Lectern.language(), { numeric: true }),
      author: (a, b) => (a.author ? 0 : 1) - (b.author ? 0 : 1) || (a.author || "").localeCompare(b.author || "", Lectern.language()),
      used: (a, b) => (b.used || "").localeCompare(a.used || ""),
      size: (a, b) => b.characters - a.characters,
    };

    function seek(text) {
      wanted = text.trim();
      found = null;
      const mine = ++asked;
      draw();
      if (!wanted || !items.length || addressed()) return;
      setTimeout(async () => {
        if (mine !== asked) return;
        let answer;
        try {
          await Lectern.arrived;
          answer = await gradio.server.find({ visitor: seat.visitor, query: wanted });
        } catch (error) {
          console.warn("lectern: the search was not answered", error);
          answer = { count: 0, hits: [] };
        }
        // an older search must not write over a newer one
        if (mine !== asked) return;
        if (answer.note) Lectern.say("notes", "show", answer.note);
        found = answer;
        draw();
      }, 180);
    }

    function shown() {
      const words = wanted.toLocaleLowerCase().split(/\s+/).filter(Boolean);
      const says = (item) => [item.title, item.author, item.filename, ...(item.tags || [])].join(" ").toLocaleLowerCase();
      return items
        .filter((item) => (!tagged || (item.tags || []).includes(tagged)) && words.every((word) => says(item).includes(word)))
        .sort(orders[order] || orders.added);
    }

    function drawFinder() {
      // on an empty shelf it is for addresses
      const asks = t(items.length ? "shelf.find" : "shelf.find_address");
      if (box.placeholder !== asks) { box.placeholder = asks; box.setAttribute("aria-label", asks); box.title = t("shelf.find_hint"); }
      sorter.hidden = !items.length;
      const names = Object.keys(orders).map((name) => [name, { name, text: t("shelf." + "order_" + name) }]);
      keyed(sorter, names, ({ name, text }) => h("option", { value: name }, text));
      sorter.value = order;
      sorter.setAttribute("aria-label", t("shelf.order"));
      const all = [...new Set(items.flatMap((item) => item.tags || []))].sort();
      if (!all.includes(tagged)) tagged = null;
      chips.setAttribute("aria-label", t("shelf.tags"));
      keyed(chips, all.map((name) => [name, { name, on: name === tagged }]), ({ name, on }) =>
        h("button", { type: "button", class: `chip${on ? " on" : ""}`, title: t("shelf.tag", { name }), aria: { pressed: String(on) }, data: { focus: "chip" },
          onclick: () => { tagged = on ? null : name; draw(); } }, name));
      // it may have come back another way, and a removal takes a moment to show
      if (undone?.gone && there(undone.id)) undone = null;
      else if (undone && !there(undone.id)) undone.gone = true;
      if (twin && items.length && !there(twin.id) && !fresh.has(twin.id)) twin = null;
      if (later && items.length && !(there(later.of) && (there(later.id) || fresh.has(later.id)))) later = null;
      same.hidden = twin === null && later === null;
      if (later) {
        const { id, of } = later;
        same.replaceChildren(h("span", {}, t("shelf.later", later)),
          h("span", { class: "confirm-actions" },
            button(null, t("shelf.later_take"), () => { later = null; choose(seat.chosen.map((one) => (one === id ? of : one))); send("renew", { id, of }); }, { text: t("shelf.later_take"), "data-focus": "renew" }),
            button(null, t("shelf.twin_keep"), () => { later = null; draw(); }, { text: t("shelf.twin_keep") })));
      } else if (twin) {
        same.replaceChildren(h("span", {}, t("shelf.twin", twin)),
          h("span", { class: "confirm-actions" },
            button(null, t("shelf.twin_keep"), () => { twin = null; draw(); }, { text: t("shelf.twin_keep") }),
            button(null, t("shelf.twin_remove"), () => { const { id, title } = twin; twin = null; undone = { id, title }; choose(seat.chosen.filter((one) => one !== id)); send("remove", { id }); }, { text: t("shelf.twin_remove") })));
      }
      back.hidden = undone === null;
      if (undone) {
        back.replaceChildren(h("span", {}, t("shelf.removed", { title: undone.title })),
          button(null, t("shelf.undo"), () => { const { id } = undone; undone = null; send("restore", { id }); draw(); }, { text: t("shelf.undo") }));
      }
    }

    // a web address or an arXiv number, with or without its "arxiv:"; else nothing
    function addressed() {
      if (/^(https?:\/\/\S+\.|arxiv:\s*\S)/i.test(wanted)) return wanted;
      return /^(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?\/\d{7})(v\d+)?$/.test(wanted) ? `arxiv:${wanted}` : null;
    }

    function drawResults() {
      results.hidden = !wanted;
      if (!wanted) { results.replaceChildren(); return; }
      const address = addressed();
      if (address) {
        results.replaceChildren(h("p", { class: "fine" }, t("shelf.address")), button("plus", t("shelf.address_add"), () => fetchAddress(address), { text: t("shelf.address_add"), kind: "primary" }));
        return;
      }
      if (!items.length) { results.replaceChildren(h("p", { class: "fine" }, t("shelf.find_hint"))); return; }
      if (!found) { results.replaceChildren(h("p", { class: "fine" }, t("shelf.find_searching"))); return; }
      const head = found.count ? t("shelf.find_count", { n: found.count }) : t("shelf.find_none");
      results.replaceChildren(h("p", { class: "fine" }, head), ...found.hits.map((hit) => {
        const place = [hit.page === null ? "" : t("shelf.find_page", { n: hit.page }), hit.chapter || ""].filter(Boolean).join(" · ");
        return h("button", { type: "button", class: "hit", title: t("shelf.find_open", { title: hit.title }), onclick: () => Lectern.reader.open(hit.document, { start: hit.start, end: hit.stop }) },
          h("span", { class: "hit-place" }, h("b", {}, hit.title), place && h("span", {}, place)),
          h("span", { class: "hit-text" }, hit.before, h("mark", {}, hit.match), hit.after));
      }));
    }

    // ---- what became of a file, and what stands at an address
    function settle(answer) {
      if (answer?.note) Lectern.say("notes", "show", answer.note);
      if (answer?.twin) twin = answer.twin;
      if (answer?.later) { later = answer.later; fresh.add(later.id); }
      // the first book of an empty choice is chosen: most people ask about what they just dropped
      if (answer?.id && seat.thread === null && (!seat.chosen.length || (seat.chosen.length === 1 && seat.chosen[0] === greeting))) { fresh.add(answer.id); choose([answer.id]); }
    }

    async function fetchAddress(address) {
      const end = arrivals.begin(address);
      box.value = "";
      seek("");
      let answer;
      try {
        await Lectern.arrived;
        answer = await gradio.server.add_address({ visitor: seat.visitor, address });
      } catch (error) {
        console.warn("lectern: an address was not fetched", error);
        answer = { note: { kind: "error", key: "note.upload", values: { name: address } } };
      }
      settle(answer);
      send("changed");
      end();
    }

    function take(files) {
      Lectern.say("bar", "showShelf");
      arrivals.take(files);
    }

    let depth = 0;
    const carriesFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    const veil = h("div", { class: "drop-veil", aria: { hidden: true } });
    const invite = () => veil.replaceChildren(icon("lectern"), h("p", {}, t("shelf.drop_here")));
    window.addEventListener("dragenter", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      depth += 1;
      invite();
      document.body.append(veil);
    });
    window.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
    const leave = () => { depth = 0; veil.remove(); };
    window.addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) leave(); });
    window.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      leave();
      take([...event.dataTransfer.files]);
    });

    // ---- choosing
    function choose(ids) {
      greeting = null;
      seat.chosen = [...new Set(ids)].filter(there);
      seat.keep();
      draw();
      send("choose");
      Lectern.say("transcript", "shelf");
      Lectern.say("composer", "chosen");
    }

    const toggle = (id) => choose(seat.chosen.includes(id) ? seat.chosen.filter((one) => one !== id) : [...seat.chosen, id]);

    // ---- cards
    function card({ item, chosen, confirm }) {
      const said = state(item);
      const title = item.title || item.filename;
      const box = h("input", {
        type: "checkbox", checked: chosen, data: { focus: "box" }, aria: { label: t("shelf.choose", { title }) },
        onchange: () => toggle(item.id),
      });
      // a click on the card chooses it; what else can be done stands in its corner
      const actions = [];
      if (item.state === "waiting" && items.some((other) => other !== item && (other.state === "reading" || other.state === "waiting"))) {
        actions.push(button("first", t("shelf.first", { title }), () => send("first", { id: item.id }), { data: { focus: "first" } }));
      }
      if (item.state === "reading" || item.state === "waiting") {
        actions.push(button("stop", t("shelf.stop_title", { title }), () => send("stop", { id: item.id }),
          { text: t("shelf.stop"), data: { focus: "act" } }));
      } else if (item.state !== "read" && !tooLong(item)) {
        const begun = item.progress >= 0.01;
        const label = t(item.state === "failed" ? "shelf.again" : item.state === "stopped" && begun ? "shelf.resume" : "shelf.begin");
        actions.push(button(item.state === "failed" ? "again" : "play", label, () => send("resume", { id: item.id }),
          { text: label, data: { focus: "act" } }));
      }
      const remove = button("trash", t("shelf.remove_title", { title }), () => { asking = item.id; draw(); focusIn(item.id, "yes"); },
        { class: "button quiet bare remove", data: { focus: "remove" } });
      const keeps = t(item.pinned ? "shelf.unpin" : "shelf.pin", { title });
      const pin = button("pin", keeps, () => send("pin", { id: item.id, on: !item.pinned }), { class: `button quiet bare pin${item.pinned ? " on" : ""}`, title: keeps, aria: { label: t("shelf.pin", { title }), pressed: String(item.pinned) }, data: { focus: "pin" } });
      const about = button("list", t("shelf.about", { title }), () => Lectern.say("book", "open", item.id), { class: "button quiet bare about", data: { focus: "about" } });
      const read = button("open", t("shelf.open", { title }), () => Lectern.reader.open(item.id), { class: "button quiet bare open-book", data: { focus: "open" } });
      const size = item.tokens === null ? null : t("shelf.tokens", { size: Lectern.tokens(item.tokens), n: item.tokens });
      return h("li", { class: `card${chosen ? " chosen" : ""}`, data: { state: item.state } },
        h("label", { class: "card-face" },
          Lectern.cover(item), box,
          h("span", { class: "card-text" },
            h("span", { class: "card-title", title }, title),
            h("span", { class: "card-facts" }, item.author && h("span", { class: "card-author", title: item.author }, item.author),
              size && h("span", { class: "card-size" }, size)),
            h("span", { class: `state ${said.tone}` }, item.state === "read" && icon("check"), h("span", {}, said.text),
              said.more && h("span", { class: "state-more", title: said.hint }, said.more)),
            (said.chapter || said.speed) && h("span", { class: "card-where", title: said.chapter || "" }, said.chapter && h("span", { class: "card-chapter" }, said.chapter), said.speed && h("span", {}, said.speed)),
            item.upto !== null && item.upto !== undefined && h("span", { class: "card-guard" }, icon("eyeoff"), h("span", {}, Lectern.guardText(item.upto / Math.max(1, item.characters)))),
            item.tags?.length > 0 && h("span", { class: "card-tags" }, item.tags.map((name) => h("span", { class: "chip" }, name))))),
        (item.state === "reading" || (item.state === "stopped" && item.progress >= 0.01)) && h("div", {
          class: "bar", role: "progressbar",
          aria: { valuenow: Math.floor(item.progress * 100), valuemin: 0, valuemax: 100, label: said.text },
        }, h("span", { style: { width: `${item.progress * 100}%` } })),
        item.error && item.state === "failed" && !tooLong(item) && h("p", { class: "reason" }, Lectern.said(item.error)),
        h("div", { class: "card-actions" }, remove, (item.state === "read" || item.pinned) && pin, about, read, actions),
        confirm && h("div", { class: "confirm", role: "alertdialog", aria: { label: t("shelf.remove_ask") } },
          h("span", {}, t("shelf.remove_ask")),
          h("span", { class: "confirm-actions" }, button(null, t("shelf.remove_yes"), () => { asking = null; undone = { id: item.id, title }; choose(seat.chosen.filter((id) => id !== item.id)); send("remove", { id: item.id }); },
            { text: t("shelf.remove_yes"), kind: "danger", data: { focus: "yes" } }),
          button(null, t("shelf.remove_no"), () => { asking = null; draw(); focusIn(item.id, "remove"); },
            { text: t("shelf.remove_no"), data: { focus: "no" } }))));
    }

    function refused({ refusal }) {
      return h("li", { class: "card refused", data: { state: "refused" } },
        h("div", { class: "card-face" },
          h("span", { class: "cover damaged", aria: { hidden: true } }, icon("warning")),
          h("span", { class: "card-text" },
            h("span", { class: "card-title", title: refusal.filename }, refusal.filename),
            h("span", { class: "state bad" }, t("shelf.refused")))),
        h("div", { class: "card-actions" }, button("close", t("shelf.dismiss", { title: refusal.filename }), () => send("dismiss", { id: refusal.id }),
          { data: { focus: "remove" } })),
        h("p", { class: "reason" }, Lectern.said(refusal.error)));
    }

    function focusIn(id, part) {
      cards.querySelector(`[data-key="book-${id}"] [data-focus="${part}"]`)?.focus();
    }

    let value = {};
    function draw() {
      // who searches wants to see what is found
      const entries = wanted ? [] : arrivals.entries(value);
      for (const refusal of wanted ? [] : value.refusals || []) entries.push(["no-" + refusal.id, { kind: "refused", refusal }]);
      for (const item of shown()) {
        entries.push(["book-" + item.id, { kind: "book", item, chosen: seat.chosen.includes(item.id), confirm: asking === item.id, long: tooLong(item) }]);
      }
      if (!wanted && !tagged) entries.push(...gone.entries(value));
      const makers = { ...arrivals.makers, refused, book: card, removed: gone.maker };
      keyed(cards, entries, (data) => makers[data.kind](data));
      const empty = !items.length && !(value.refusals || []).length && !arrivals.entries(value).length;
      arrivals.drawLost();
      drawFinder();
      drawResults();
      root.classList.toggle("empty", empty && value.ready === true);
      if (veil.isConnected) invite();
      heading.textContent = t("shelf.title");
      count.textContent = items.length ? Lectern.number(items.length) : "";
      zone.replaceChildren(...(empty
        ? [icon("lectern"), h("strong", {}, t("shelf.empty")), h("span", {}, t("shelf.empty_hint")), h("span", { class: "fine" }, given.formats)]
        : [icon("plus"), h("strong", {}, t("shelf.add")), h("span", { class: "fine" }, t("shelf.add_hint"))]));
    }

    return {
      chooseOnly: (ids) => choose(ids),
      titles: () => new Map(items.map((item) => [item.id, item.title || item.filename])),
      pick: () => picker.click(),
      pin: ({ id, on }) => send("pin", { id, on }),
      again: () => send("choose"),
      find: () => { box.focus(); box.select(); },
      draw,
      update(next) {
        value = next || {};
        items = value.items || [];
        if (value.ready) {
          for (const item of items) fresh.delete(item.id);
          const kept = seat.chosen.filter(there);
          if (kept.length !== seat.chosen.length) { seat.chosen = kept; seat.keep(); }
        }
        Lectern.shelf = value.ready ? items : null;
        // what was made of a book may be behind it now
        const now = items.map((item) => [item.id, item.characters, item.upto].join()).join(" ");
        if (value.ready && stamp !== null && stamp !== now) Lectern.say("artefacts", "look");
        if (value.ready) stamp = now;
        // a first start: the welcome book is alone on the shelf, and open to questions
        if (value.ready && items.length && !welcomed) {
          welcomed = true;
          const [first] = items;
          if (items.length === 1 && given.welcome.includes(first.sha256) && seat.thread === null && (!seat.chosen.length || there(seat.chosen[0]))) {
            if (!seat.chosen.length) choose([first.id]);
            greeting = first.id;
          }
        }
        draw();
        Lectern.say("transcript", "shelf");
        Lectern.say("composer", "chosen");
      },
    };
  });
})();
