"""The look of the HTML report: light, dark and printed; every colour has a letter or a line that says the same."""

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1f; --page: #fff; --faint: #5b5b66; --line: #d4d4dc;
  --s: #5c4300; --s-back: #fff0c2; --d: #8c1010; --d-back: #ffdfdc; --i: #0b4a75; --i-back: #d8eeff; }
@media screen and (prefers-color-scheme: dark) { :root { --text: #e8e8ee; --page: #17171b; --faint: #a9a9b6;
  --line: #3c3c46; --s: #ffe08a; --s-back: #4a3a00; --d: #ffc9c4; --d-back: #5a1a17; --i: #bfe3ff;
  --i-back: #12364f; } }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { padding: .15rem .6rem; text-align: end; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td.text { text-align: start; }
thead th { vertical-align: bottom; white-space: normal; overflow-wrap: normal; }
tbody th[colspan] { padding-top: .8rem; }
tbody th:not([colspan]) { font-weight: normal; }
caption { text-align: start; font-weight: 600; white-space: nowrap; }
td.text, td.text span { unicode-bidi: plaintext; white-space: normal; }
.beside { display: flex; flex-wrap: wrap; gap: 0 2rem; align-items: flex-start; }
.note, .facts { color: var(--faint); font-size: .9em; }
article { border-top: 1px solid var(--line); padding: .6rem 0; break-inside: avoid; }
article p { margin: .2rem 0; }
.words { display: flex; flex-wrap: wrap; gap: .3rem .15rem; }
.w { display: inline-flex; flex-direction: column; padding: 0 .25rem; border-radius: .25rem; }
.w span { unicode-bidi: plaintext; }
.w b { font-size: .7em; line-height: 1.1; text-align: center; min-height: .8rem; }
.S { color: var(--s); background: var(--s-back); }
.D { color: var(--d); background: var(--d-back); }
.I { color: var(--i); background: var(--i-back); }
.S .h, .I .h { text-decoration: underline; }
.S .r, .D .r { text-decoration: line-through; }
.gap { text-align: center; }
.side { margin: .2rem 0 .6rem; }
.side th, .side td { padding: .1rem .35rem; border-bottom: 0; text-align: start; vertical-align: top; }
.side th { font-weight: normal; color: var(--faint); padding-inline-end: 1rem; min-width: 8rem; }
.side th small { font-size: .75em; }
.side td { unicode-bidi: plaintext; }
.side td b { font-size: .7em; margin-inline-start: .2rem; vertical-align: super; line-height: 1; }
.side .said td { font-weight: 600; }
audio { height: 2rem; max-width: 100%; }
code { font-size: .85em; }
@media print { body { max-width: none; padding: 0; font-size: 9pt; } audio, nav { display: none; }
  h2, h3 { break-after: avoid; } .wide { overflow: visible; }
  .S, .D, .I { outline: 1px solid; } .side { font-size: 8pt; } .side th { min-width: 0; } }
"""
