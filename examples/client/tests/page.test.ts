// All tests share one demo and one browser, so they are one file to the runner. Each has a page of its own.
import "./states.js";
import "./defects.js";
import "./board.js";
import "./verdict.js";
import "./selection.js";
import "./caches.js";
import "./keyboard.js";
import "./alone.js";
import "./install.js";
import "./pictures.js";
