// The pages over sessions of the real client: one test for each thing that they promise.
//
// What stands on the page is compared with what the daemon answers on its own socket, and bytes with those that the mock API
// received and sent.

import "./real-sessions.mjs";
import "./real-timeline.mjs";
import "./real-inspector.mjs";
import "./real-overview.mjs";
import "./keyboard.mjs";
import "./real-export.mjs";
import "./real-har.mjs";
import "./looks.mjs";
