// what is about to be sent: the context line, the question, send and stop
(() => {
  const { h, t, icon, button, seat, store } = Lectern;

  Lectern.panel("composer", (root, send) => {
    let plan = {}; // the server's answer to "do these books fit": for the ids in plan.chosen
    let job = null; // what is being answered here
    let sending = null; // the question on its way, until the server has it
    let stopping = false;
    let patient = null; // what was asked, in which conversation, and waits for the meter

    const line = h("div", { class: "context", role: "region" });
    const field = h("textarea", {
      id: "question", rows: "1", maxlength: "20000", enterkeyhint: "send",
      value: store.read("sessionStorage", "draft") || "",
      oninput: () => { store.write("sessionStorage", "draft", field.value); fit(); act(); },
      onkeydown: (event) => {
        // while a Chinese or Japanese word is being composed, Enter chooses it
        if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
        event.preventDefault();
        ask();
      },
      onkeyup: (event) => { if (event.key === "ArrowUp" && !field.value && !busy() && seat.thread !== null) Lectern.say("transcript", "editLast"); },
    });
    const go = h("button", { type: "button", class: "send", onclick: () => (job || sending ? stop() : ask()) });
    const guards = h("div", { class: "guards", hidden: true });
    const modes = h("fieldset", { class: "modes" });
    const together = h("div", { class: "together", hidden: true });
    root.append(line, guards, h("div", { class: "question-box" }, h("label", { class: "visually-hidden", for: "question" }), field, go), modes, together);

    // what the next question is answered from
    let mode = ["auto", "whole", "reread"].find((name) => name === store.read("localStorage", "mode")) || "auto";
    function drawModes() {
      if (modes.stamp === Lectern.language()) return;
      modes.stamp = Lectern.language();
      modes.replaceChildren(h("legend", {}, t("mode.label")), ...["auto", "whole", "reread"].map((name) => h("label", { title: t(`mode.${name}_more`) },
        h("input", { type: "radio", name: "lectern-mode", value: name, checked: name === mode, onchange: () => { mode = name; store.write("localStorage", "mode", name); draw(); } }), t(`mode.${name}`))));
    }

    // several books read whole: each behind the others, or each as it was read alone
    const several = () => seat.chosen.length > 1 && mode !== "reread";
    const whole = () => mode === "whole" || (mode === "auto" && seat.quick && several());
    function drawTogether() {
      together.hidden = !several();
      const stamp = Lectern.language() + seat.quick;
      if (together.hidden || together.stamp === stamp) return;
      together.stamp = stamp;
      const held = together.contains(document.activeElement);
      const lever = h("button", { type: "button", role: "switch", class: "switch", id: "quick", aria: { checked: String(seat.quick), describedby: "quick-cost" },
        onclick: () => { seat.quick = !seat.quick; seat.keep(); draw(); Lectern.say("shelf", "again"); } }, h("span", { class: "switch-track", aria: { hidden: true } }), t("quick.label"));
      together.replaceChildren(lever, h("span", { id: "quick-cost", class: "fine" }, t(seat.quick ? "quick.on" : "quick.off")));
      if (held) lever.focus();
    }

    function fit() {
      field.style.height = "auto";
      field.style.height = Math.min(field.scrollHeight, 200) + "px";
    }

    const same = (a, b) => a.length === b.length && a.every((id) => b.includes(id));
    const busy = () => Boolean(job || sending);
    // books that are not those of the open conversation begin a new one
    const elsewhere = () => {
      const shown = Lectern.transcriptValue?.() || {};
      return seat.thread !== null && shown.thread === seat.thread && shown.documents && !same(shown.documents, seat.chosen);
    };
    const planned = () => plan.chosen && same(plan.chosen, seat.chosen) && (plan.quick === seat.quick || seat.chosen.length < 2);
    // passages always fit
    const refused = () => planned() && plan.fits === false && whole();

    // a text, or {text, instead_of}: the turn in whose place it is asked
    function ask(said) {
      const { text, instead_of = null } = typeof said === "object" && said ? said : { text: said };
      const question = (text ?? field.value).trim();
      if (!question || busy()) return;
      if (instead_of !== null) {
        // it belongs to the open conversation, whatever was ticked meanwhile
        if (elsewhere()) Lectern.say("shelf", "chooseOnly", Lectern.transcriptValue().documents);
        if (!planned()) { patient = { said, thread: seat.thread }; return; }
        if (!refused()) deliver(question, { instead_of });
        return;
      }
      if (refused()) {
        // what could not be sent can be written on
        if (text !== undefined && !field.value) Lectern.say("composer", "fill", question);
        return;
      }
      if (!seat.chosen.length) { Lectern.say("notes", "show", { kind: "info", key: "note.choose" }); Lectern.say("bar", "showShelf"); return; }
      // nothing is sent before the reader could see what it takes
      if (!planned()) { patient = { said, thread: seat.thread }; return; }
      if (elsewhere()) { seat.thread = null; Lectern.say("transcript", "clear", null); }
      // kept until the server has it: a page that is loaded again meanwhile still knows it
      if (text === undefined) field.value = "";
      fit();
      deliver(question, {});
    }

    function deliver(question, more) {
      sending = question;
      stopping = false;
      act();
      send("ask", { question, sampling: Lectern.sampling(), mode, ...more });
      // a server that is gone never says so: the question goes back to where it can be sent again
      const waited = sending;
      setTimeout(() => {
        if (sending !== waited || job) return;
        heard({ refused: true });
        Lectern.say("notes", "show", { kind: "error", key: "note.unsent" });
      }, 20000);
    }

    function stop() {
      if (!job || stopping) return;
      stopping = true;
      act();
      send("stop", { job });
    }

    function act() {
      const working = busy();
      go.classList.toggle("stop", working);
      go.disabled = working ? !job || stopping : !field.value.trim() || refused();
      go.setAttribute("aria-label", t(working ? "composer.stop" : "composer.send"));
      go.title = t(working ? "composer.stop" : "composer.send");
      go.dataset.icon = working ? "stop" : "send";
      if (go.firstChild?.dataset?.name !== go.dataset.icon) { const drawn = icon(go.dataset.icon); drawn.dataset.name = go.dataset.icon; go.replaceChildren(drawn); }
      field.placeholder = t(seat.chosen.length ? (working ? "composer.busy" : "composer.ask") : "composer.choose");
      root.querySelector("label").textContent = t("composer.label");
      line.setAttribute("aria-label", t("context.label"));
    }

    // what the block of the answer heard from the server
    function heard(live) {
      const here = live.thread === undefined || live.thread === seat.thread;
      if (live.refused) {
        if (sending !== null && !field.value) { field.value = sending; store.write("sessionStorage", "draft", sending); fit(); }
        sending = null;
      }
      if (live.active && here) {
        if (sending !== null) store.write("sessionStorage", "draft", field.value);
        sending = null;
        if (job !== live.job) stopping = false;
        job = live.job;
      } else if (here && sending === null) {
        job = null;
      }
      act();
    }

    // ---- the meter: every chosen book on one bar, against what the model and the machine can hold
    const cloth = (index) => `part cloth-${index % 6}`;
    function meter() {
      const parts = plan.documents, full = Math.max(plan.limit, plan.needed || plan.tokens);
      // what is neither a book: the opening and the conversation so far
      const rest = Math.max(0, plan.tokens - parts.reduce((sum, part) => sum + part.tokens, 0));
      return h("div", { class: "meter", role: "img", aria: { label: t("context.meter", { tokens: plan.tokens, limit: plan.limit }) } },
        parts.map((part, index) => h("span", { class: cloth(index) + (part.read ? "" : " unread"), style: { width: (part.tokens / full) * 100 + "%" } })),
        h("span", { class: "part talk", style: { width: (rest / full) * 100 + "%" } }),
        plan.fits ? null : h("span", { class: "edge", style: { left: (plan.limit / full) * 100 + "%" } }));
    }

    function how() {
      if (mode === "reread") return h("span", {}, t("context.from_passages"));
      if (mode === "auto" && plan.passages && !whole()) {
        const key = plan.ready ? "context.auto_passages_read" : plan.seconds_left === null ? "context.from_passages" : "context.auto_passages";
        return h("span", { class: plan.ready ? "ready" : null }, t(key, { time: Lectern.duration(plan.seconds_left || 0) }));
      }
      return [h("span", { class: plan.ready ? "ready" : "takes" }, time()),
        plan.beyond && h("span", { class: "caution" }, t("context.beyond", { window: Lectern.tokens(plan.window) }))];
    }

    function time() {
      if (plan.ready) return plan.seconds_left === null ? t("context.read") : t("context.answers", { time: Lectern.duration(plan.seconds_left) });
      return plan.seconds_left !== null ? t("context.takes", { time: Lectern.duration(plan.seconds_left) }) : t("context.takes_unknown", { size: Lectern.tokens(plan.to_read), n: plan.to_read });
    }

    const leave = (ids) => Lectern.say("shelf", "chooseOnly", seat.chosen.filter((id) => !ids.includes(id)));

    function books() {
      return h("ul", { class: "meter-books" }, plan.documents.map((part, index) => h("li", {},
        h("span", { class: `swatch ${cloth(index)}${part.read ? "" : " unread"}`, aria: { hidden: true } }),
        h("span", { class: "meter-title", title: part.title }, part.title),
        h("span", { class: "meter-facts" }, [t("shelf.tokens", { size: Lectern.tokens(part.tokens), n: part.tokens }), Lectern.bytes(part.memory), t(part.read ? "context.part_read" : "context.part_unread")].join(" · ")),
        plan.documents.length > 1 && button("close", t("context.leave", { title: part.title }), () => leave([part.id]), { data: { focus: `leave-${part.id}` } }))));
    }

    // the longest book may give chapters away instead of going as a whole
    function chapters() {
      const longest = [...plan.documents].sort((a, b) => b.tokens - a.tokens)[0];
      const text = t("context.chapters", { title: longest.title });
      return button("pen", text, () => Lectern.say("book", "open", longest.id), { text, kind: "firm", data: { focus: "chapters" } });
    }

    function remedies() {
      if (plan.documents.length < 2) return h("p", { class: "remedies" }, h("span", {}, t("context.over_alone")), chapters());
      if (!plan.leave_out.length) return h("p", { class: "remedies" }, h("span", {}, t("context.over_several")), chapters());
      const name = (id) => plan.documents.find((part) => part.id === id).title;
      return h("p", { class: "remedies" }, h("span", {}, t("context.over_leave")), plan.leave_out.slice(0, 4).map((ids) => {
        const text = Lectern.list(ids.map((id) => t("title", { title: name(id) })));
        return button("close", text, () => leave(ids), { text, kind: "firm", data: { focus: `out-${ids[0]}` } });
      }), chapters());
    }

    // what the reader wants not to be told of
    function drawGuards() {
      const limited = (Lectern.shelf || []).filter((item) => seat.chosen.includes(item.id) && item.upto !== null && item.upto !== undefined);
      guards.hidden = !limited.length;
      Lectern.keyed(guards, limited.map((item) => [item.id, { id: item.id, title: item.title, part: item.upto / Math.max(1, item.characters) }]), ({ id, title, part }) =>
        h("span", { class: "guard-chip" }, icon("eyeoff"), h("span", {}, t("guard.chip", { title, where: Lectern.guardText(part) })),
          button("close", t("guard.off", { title }), () => Lectern.ask("reader", "guard", id, null), { data: { focus: "off" } })));
    }

    let open = false;
    function draw() {
      drawModes();
      drawTogether();
      drawGuards();
      const held = line.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
      line.classList.remove("over", "wait");
      if (!seat.chosen.length) {
        line.replaceChildren(h("p", { class: "context-text" }, Lectern.shelf && !Lectern.shelf.length ? t("context.no_books") : t("context.none")));
      } else if (plan.error && planned()) {
        line.classList.add("over");
        line.replaceChildren(h("p", { class: "context-text" }, icon("warning"), h("span", {}, Lectern.noteText(plan.error))));
      } else if (planned() && plan.waiting) {
        line.replaceChildren(h("p", { class: "context-text" }, h("strong", {}, t("context.books", { n: seat.chosen.length })), t("context.waiting")));
      } else if (!planned()) {
        line.classList.add("wait");
        line.replaceChildren(h("p", { class: "context-text" }, t("context.books", { n: seat.chosen.length }), " · ", t("context.counting")));
      } else {
        line.classList.toggle("over", refused());
        const toggle = h("button", { type: "button", class: "context-text", aria: { expanded: String(open), controls: "meter-books" }, data: { focus: "meter" },
          onclick: () => { open = !open; draw(); } },
          plan.fits || !whole() ? null : icon("warning"),
          h("strong", {}, t("context.books", { n: plan.documents.length })),
          h("span", {}, t("context.room", { tokens: Lectern.tokens(plan.tokens), limit: Lectern.tokens(plan.limit) })),
          plan.fits && how(),
          elsewhere() && h("span", { class: "new-start" }, t("context.new")),
          h("span", { class: "chevron" }, icon("forth")));
        line.replaceChildren(...[toggle, meter(),
          !plan.fits && !refused() && h("p", { class: "fine" }, t("context.passages")),
          refused() && h("div", { class: "too-much", role: "alert" }, h("p", {}, t("context.over", { needed: Lectern.number(plan.needed), limit: Lectern.number(plan.limit), bound: t("context.bound." + plan.bound) })), remedies()),
          h("div", { id: "meter-books", hidden: !open }, h("p", { class: "fine" }, t("context.memory", { size: Lectern.bytes(plan.memory) })), books())].filter(Boolean));
      }
      if (held) line.querySelector(`[data-focus="${held}"]`)?.focus();
      act();
    }

    return {
      chosen: draw,
      relabel: draw,
      focus: () => field.focus(),
      stop,
      ask,
      fill(text) { field.value = text; store.write("sessionStorage", "draft", text); fit(); act(); field.focus(); },
      busy: heard,
      update(next) {
        if (next && next.chosen) plan = next;
        draw();
        requestAnimationFrame(fit);
        if (patient && (patient.thread !== seat.thread || !seat.chosen.length)) patient = null;
        if (patient && planned()) { const { said } = patient; patient = null; ask(said); }
      },
    };
  });
})();
