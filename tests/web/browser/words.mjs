// Figures as the pages word them: the pages' own words, which tests of their own hold to the command line's.

export { count, duration, model, money, parseTime, visible, whole } from "../../../daemon/src/web/assets/js/format.js";
