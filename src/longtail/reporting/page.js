for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("span");  // with a real button in it, a head is printed only once
    Object.assign(button, {role: "button", tabIndex: 0});
    button.onkeydown = event => ["Enter", " "].includes(event.key) && (event.preventDefault(), button.click());
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const down = head.ariaSort === "ascending" ? -1 : 1;
      const text = row => row.cells[column].textContent;
      const figure = row => parseFloat(text(row).replaceAll(",", ""));
      const rows = [...body.rows], words = column === 0 || rows.every(row => Number.isNaN(figure(row)));
      rows.sort((a, b) => words ? down * text(a).localeCompare(text(b), undefined, {numeric: true})
        : Number.isNaN(figure(a)) - Number.isNaN(figure(b)) || down * (figure(a) - figure(b)) || 0);
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.ariaSort = down === 1 ? "ascending" : "descending";
      body.append(...rows);
    };
  });
}
const unfold = () => document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(fold => fold.open = true));
