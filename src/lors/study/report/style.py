"""The look of the study's report, beside that of all reports: light, dark and printed."""

from lors.speech.report_style import STYLE as REPORT_STYLE

STYLE = (
    REPORT_STYLE
    + """
.lead { font-size: 1.1rem; max-width: 55rem; padding-inline-start: 1.4rem; }
.lead li { margin: .5rem 0; }
.caption, figcaption { max-width: 62rem; margin: 0 0 .3rem; }
.result { margin: 1.6rem 0 2.2rem; }
.result thead td { border-bottom: 0; }
.result th.group { text-align: center; border-bottom: 1px solid var(--faint); }
.result th, .result td { padding: .12rem .5rem; }
.result small { display: block; font-weight: normal; font-size: .72em; color: var(--faint); line-height: 1.2; }
.result tbody + tbody tr:first-child > * { border-top: 2px solid var(--faint); }
.result tbody tr > * { border-bottom-color: transparent; }
.result table { border-top: 2px solid var(--text); border-bottom: 2px solid var(--text); }
.result td { vertical-align: top; }
.result th[scope=row] { vertical-align: top; }
figcaption { margin-top: .4rem; }
th.text { text-align: start; }
td.text { max-width: 24rem; }
.span { text-align: center; }
.result sup { position: absolute; line-height: 0; margin-top: .45em; }
.result td { padding-inline-end: .9rem; }
.result i { font-weight: normal; }
ul.note { list-style: none; padding: 0; margin-top: 0; max-width: 62rem; }
figure { margin: 1.6rem 0 2.2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .4rem; padding: .5rem;
  box-sizing: border-box; }
nav ul { display: flex; flex-wrap: wrap; gap: 0 1.2rem; padding: 0; list-style: none; }
@media print { @page { size: A4 landscape; margin: 12mm; } .result, figure { break-inside: avoid; }
  .result table { font-size: 7.5pt; line-height: 1.2; } .result th, .result td { padding-block: .02rem; }
  .result { margin: .8rem 0; } .caption, figcaption, .result .note { font-size: 8pt; line-height: 1.25; }
  .lead { font-size: 10pt; } figure img { max-height: 155mm; padding: 0; }
  h1 { font-size: 16pt; } }
"""
)
