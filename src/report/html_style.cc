#include "report/html.h"

namespace fluxq::report {

std::string_view page_css() {
  return R"(:root{color-scheme:light dark;--paper:#fff;--panel:#f6f7f9;--ink:#1d2127;--quiet:#5c6470;--rule:#e3e6ea;--link:#0b5cad;--good:#116b3a;--bad:#a8231c}
@media (prefers-color-scheme:dark){:root{--paper:#15181c;--panel:#1d2126;--ink:#e6e8eb;--quiet:#a0a7b1;--rule:#30353c;--link:#79b8ff;--good:#5fd08d;--bad:#ff8a80}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
header,nav,main{max-width:76rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.35rem;line-height:1.3;margin:0 0 .8rem;font-weight:650}
h3{font-size:1.05rem;margin:2rem 0 .5rem;font-weight:650}
h4{font-size:.95rem;margin:1.4rem 0 .5rem;font-weight:500}
section{padding:2rem 0 0;border-top:1px solid var(--rule);margin-top:1.2rem;scroll-margin-top:.5rem}
p,ul{max-width:46rem;margin:.5rem 0 1rem}
ul{padding-left:1.2rem}li{margin:.3rem 0}
.lead{font-size:1.12rem;max-width:50rem}
.quiet{color:var(--quiet)}.good{color:var(--good)}.bad{color:var(--bad)}
a{color:var(--link);text-underline-offset:.15em}
nav ul{list-style:none;padding:0;margin:1rem 0 0;max-width:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.92rem}
nav li{margin:0}
table{border-collapse:collapse;width:100%;margin:1rem 0 1.8rem;font-size:.92rem;font-variant-numeric:tabular-nums lining-nums}
caption{text-align:left;color:var(--quiet);padding:0 0 .5rem;font-size:.88rem}
th,td{padding:.42rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule);font-weight:400}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
thead th{color:var(--quiet);font-size:.84rem;vertical-align:bottom;border-bottom-color:var(--quiet)}
tbody th{font-weight:550;min-width:9.5rem}
td.good,td.bad,td.quiet{white-space:nowrap}
.n{text-align:right}
td small{display:block;color:var(--quiet);font-size:.82rem;line-height:1.35}
td.n,td.n small{white-space:nowrap}
figure{margin:0}
figcaption{font-size:.86rem;line-height:1.35;padding-top:.35rem}
figcaption small{display:block;color:var(--quiet);font-size:.8rem;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.5rem 2rem;margin:1rem 0}
.charts figure{max-width:35rem}
.charts figcaption{padding:0 0 .4rem;color:var(--quiet)}
.chart{display:block;width:100%;height:auto}
.row{display:grid;grid-template-columns:repeat(5,minmax(0,1fr));gap:1rem;margin:0 0 1.4rem}
.row img,.row .none{width:100%;height:auto;display:block;background:var(--panel);border-radius:3px}
.none{aspect-ratio:1;border:1px dashed var(--rule)}
.big{image-rendering:pixelated}
.groups{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,35rem),1fr));gap:0 2rem}
.small{display:flex;flex-wrap:wrap;gap:.6rem;margin:0 0 1rem}
.small figure{width:5.2rem}.small img,.small .none{width:100%;height:auto;display:block;border-radius:2px;background:var(--panel)}
.small figcaption{font-size:.76rem}
.scale{max-width:24rem;margin:0 0 1.2rem;font-size:.8rem;color:var(--quiet)}
.scale .bar{height:.7rem;border-radius:2px}
.scale .ticks{position:relative;height:1.3rem}.scale .ticks span{position:absolute;transform:translateX(-50%)}
.scale .ticks span:first-child{transform:none}.scale .ticks span:last-child{transform:translateX(-100%)}
footer{max-width:76rem;margin:2rem auto 0;padding:1.2rem 1.25rem 3rem;color:var(--quiet);font-size:.85rem}
@media (max-width:48rem){
header{padding-top:1.5rem}h1{font-size:1.5rem}
.row{grid-template-columns:repeat(6,minmax(0,1fr));gap:.7rem}.row figure{grid-column:span 2}.row figure:nth-child(n+4){grid-column:span 3}
table,tbody,tr,td,tbody th{display:block;width:auto}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
caption{display:block}
tr{border-bottom:1px solid var(--quiet);padding:.6rem 0}
td,tbody th,td:first-child{border:0;padding:.14rem 0}
tbody th{min-width:0}.pair td::before{display:none}
td::before{content:attr(data-label);color:var(--quiet);display:block;font-size:.84rem}
td.n,td.good,td.bad,td.quiet{display:grid;grid-template-columns:1fr auto;gap:0 .8rem;align-items:baseline;white-space:normal}
td.n::before,td.good::before,td.bad::before,td.quiet::before{grid-row:1/span 2;text-align:left}
td.n small{white-space:normal}
td.n>*,td.good>*,td.bad>*,td.quiet>*{grid-column:2;text-align:right}
}
@media print{nav{display:none}section{break-inside:auto}tr,figure{break-inside:avoid}}
)";
}

}  // namespace fluxq::report
