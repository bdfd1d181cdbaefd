// what is about to be sent: the context line, the question, send and stop
(() => {
  const { h, t, icon, button, seat, store } = Lectern;

  Lectern.panel("composer", (root, send) => {
    let plan = {}; // the server's answer to "do these books fit": for the ids in plan.chosen
    let job = null; // what is being answered here
    let sending = null; // the question on its way, until the server has it
    let stopping = false;

    const line = h("div", { class: "context", role: "status", aria: { live: "polite" } });
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
    });
    const go = h("button", { type: "button", class: "send", onclick: () => (job || sending ? stop() : ask()) });
    root.append(line, h("div", { class: "question-box" }, h("label", { class: "visually-hidden", for: "question" }), field, go));

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
    const planned = () => plan.chosen && same(plan.chosen, seat.chosen);
    const refused = () => planned() && plan.fits === false;

    function ask(text) {
      const question = (text ?? field.value).trim();
      if (!question || busy() || refused()) return;
      if (!seat.chosen.length) { Lectern.say("notes", "show", { kind: "info", key: "note.choose" }); Lectern.say("bar", "showShelf"); return; }
      if (elsewhere()) { seat.thread = null; Lectern.say("transcript", "clear", null); }
      sending = question;
      stopping = false;
      if (text === undefined) { field.value = ""; store.write("sessionStorage", "draft", ""); }
      fit();
      act();
      send("ask", { question });
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
    }

    // what the block of the answer heard from the server
    function heard(live) {
      const here = live.thread === undefined || live.thread === seat.thread;
      if (live.refused) {
        if (sending !== null && !field.value) { field.value = sending; store.write("sessionStorage", "draft", sending); fit(); }
        sending = null;
      }
      if (live.active && here) {
        sending = null;
        if (job !== live.job) stopping = false;
        job = live.job;
      } else if (here && sending === null) {
        job = null;
      }
      act();
    }

    // ---- the context line
    function meter() {
      const parts = plan.documents || [];
      const full = Math.max(plan.limit, plan.needed || plan.tokens);
      return h("div", { class: "meter", role: "img", aria: { label: t("context.meter", { tokens: plan.tokens, limit: plan.limit }) } },
        parts.map((part, index) => h("span", { class: `part${index % 2 ? " odd" : ""}`, title: `${part.title} · ${t("shelf.tokens", { size: Lectern.tokens(part.tokens), n: part.tokens })}`, style: { width: (part.tokens / full) * 100 + "%" } })),
        plan.fits ? null : h("span", { class: "edge", style: { left: (plan.limit / full) * 100 + "%" } }));
    }

    function remedy() {
      if (plan.documents.length < 2) return t("context.over_alone");
      if (!plan.leave_out.length) return t("context.over_several");
      return t(plan.leave_out.length > 1 ? "context.over_leave_one" : "context.over_leave", { titles: Lectern.list(plan.leave_out.map((title) => t("title", { title })), plan.leave_out.length > 1 ? "disjunction" : "conjunction") });
    }

    function draw() {
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
        const fit = plan.fits
          ? [plan.ready ? t("context.read")
            : plan.seconds_left !== null ? t("context.takes", { time: Lectern.duration(plan.seconds_left) }) : t("context.takes_unknown", { size: Lectern.tokens(plan.to_read), n: plan.to_read }),
          plan.beyond ? t("context.beyond", { window: Lectern.tokens(plan.window) }) : ""]
          : [t("context.over", { needed: Lectern.number(plan.needed), limit: Lectern.number(plan.limit), bound: t("context.bound." + plan.bound) }) + " " + remedy()];
        line.classList.toggle("over", !plan.fits);
        line.replaceChildren(...[
          h("p", { class: "context-text" },
            plan.fits ? null : icon("warning"),
            h("strong", {}, t("context.books", { n: plan.documents.length })),
            plan.fits && h("span", {}, t("context.room", { tokens: Lectern.tokens(plan.tokens), limit: Lectern.tokens(plan.limit) })),
            fit.filter(Boolean).map((text, index) => h("span", { class: !plan.fits ? "too-much" : index ? "caution" : plan.ready ? "ready" : "takes" }, text)),
            elsewhere() && h("span", { class: "new-start" }, t("context.new"))),
          meter()]);
      }
      act();
    }

    return {
      chosen: draw,
      relabel: draw,
      focus: () => field.focus(),
      ask,
      fill(text) { field.value = text; store.write("sessionStorage", "draft", text); fit(); act(); field.focus(); },
      busy: heard,
      update(next) { if (next && next.chosen) plan = next; draw(); requestAnimationFrame(fit); },
    };
  });
})();
