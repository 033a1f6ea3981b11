// Text that somebody might want to act: markup, escapes, directions, halves of characters, sizes.

export const HOSTILE = [
  "<script>alert(1)</script><img src=x onerror=alert(2)>", "\u202egnp.exe\u202c reversed", "zero\u200bwidth\u2060joined",
  "\u001b]0;owned\u0007\u001b[2J\u001b[31mred\u001b[0m", "lone \ud800 half", "and \udfff the other", `long ${"x".repeat(5000)}`, "javascript:alert(1)",
  "\u0000nul\u0008back\rreturn", "'; DROP TABLE rows; --", "${7*7}{{7*7}}", "<style>*{display:none}</style>", "\u2028line\u2029paragraph",
  "]]><!--", "\u{e0041}tag", "\u0085next", "<svg onload=alert(3)>", "&lt;b&gt;", "data:text/html,<script>alert(4)</script>", "__proto__", "constructor",
];
