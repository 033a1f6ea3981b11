//! Names that languages themselves and their standard libraries give to what every value can do.
//!
//! It must never grow into a list of what packages offer, nor hold single words: those are not judged anyway.
//!
//! Invariant: no state.

use crate::source::Language;

/// ECMAScript, browsers and Node.
const SCRIPT: &str = " addEventListener allSettled appendChild appendFile appendFileSync arrayBuffer \
    assignedNodes attachShadow beforeAll beforeEach afterAll afterEach byteLength byteOffset \
    cancelAnimationFrame charAt charCodeAt checkValidity childElementCount childNodes classList className clearInterval \
    clearTimeout clientHeight clientWidth clientX clientY cloneNode closePath codePointAt colSpan contentEditable \
    contentType copyFile copyFileSync copyWithin createElement createElementNS createHash createHmac createObjectURL \
    createReadStream createServer createTextNode createWriteStream currentTarget dataTransfer decodeURI \
    decodeURIComponent defaultPrevented defaultValue defineProperty deltaX deltaY dispatchEvent documentElement \
    encodeURI encodeURIComponent endsWith execFile execFileSync execPath execSync existsSync fillRect \
    fillStyle fillText findIndex findLast findLastIndex firstChild firstElementChild flatMap \
    forEach formData fromCharCode fromCodePoint fromEntries fullscreenElement getAll getAttribute \
    getBoundingClientRect getComputedStyle getContext getDate getDay getElementById getElementsByClassName \
    getElementsByTagName getFullYear getHours getItem getMilliseconds getMinutes getMonth getOwnPropertyDescriptor \
    getOwnPropertyNames getPrototypeOf getRandomValues getReader getSeconds getSelection getTime getTimezoneOffset \
    getUTCDate getUTCDay getUTCFullYear getUTCHours getUTCMinutes getUTCMonth getUTCSeconds getUint8 getWriter \
    globalThis groupBy hasAttribute hasFocus hasOwn hasOwnProperty htmlFor importKey deriveKey deriveBits \
    exportKey generateKey wrapKey unwrapKey indexOf innerHTML innerHeight innerText innerWidth insertAdjacentHTML \
    insertBefore isArray isBuffer isConnected isContentEditable isDirectory isFile isFinite isFrozen isInteger isNaN \
    isPrototypeOf isSafeInteger isSymbolicLink keyCode lastChild lastElementChild lastIndex lastIndexOf lastModified \
    lineTo lineWidth localeCompare localStorage lstatSync matchAll matchMedia mkdirSync mkdtempSync moveTo nextElementSibling \
    nextSibling nextTick nodeName nodeType nodeValue objectStore offsetHeight offsetLeft offsetParent offsetTop \
    offsetWidth onChange onClick onSubmit openSync outerHTML outerHeight outerWidth ownerDocument padEnd padStart \
    pageX pageY parentElement parentNode parseFloat parseInt pathToFileURL fileURLToPath pathname pointerId \
    preventDefault previousElementSibling previousSibling propertyIsEnumerable pushState queryCommandState \
    querySelector querySelectorAll queueMicrotask randomBytes randomInt randomUUID readAsArrayBuffer readAsDataURL \
    readAsText readFile readFileSync readOnly readdirSync readlinkSync readyState realpathSync reduceRight relatedTarget \
    removeAttribute removeChild removeEventListener removeItem replaceAll replaceChildren replaceState replaceWith \
    requestAnimationFrame requestIdleCallback requestSubmit responseText responseType returnValue revokeObjectURL rmSync \
    scrollBy scrollHeight scrollIntoView scrollLeft scrollTo scrollTop scrollWidth scrollX scrollY searchParams \
    selectedIndex selectionEnd selectionStart sessionStorage setAttribute setCustomValidity setDate setFullYear setHours \
    setInterval setItem setMilliseconds setMinutes setMonth setPrototypeOf setProperty setRequestHeader setSeconds \
    setTime setTimeout setUTCHours shiftKey ctrlKey metaKey altKey spawnSync startsWith statSync statusCode statusText \
    stopImmediatePropagation stopPropagation strokeStyle structuredClone subtle tabIndex tagName targetTouches \
    textAlign textContent timeStamp toDataURL toDateString toExponential toFixed toISOString toJSON toLocaleDateString \
    toLocaleLowerCase toLocaleString toLocaleTimeString toLocaleUpperCase toLowerCase toPrecision toReversed toSorted \
    toSpliced toString toTimeString toUTCString toUpperCase trimEnd trimStart typeof unlinkSync valueAsNumber valueOf \
    visibilityState waitUntil withCredentials writeFile writeFileSync ";

/// Python.
const PYTHON: &str = " add_argument add_parser add_subparsers parse_args as_posix as_uri as_completed assert_any_call \
    assert_called assert_called_once assert_called_once_with assert_called_with assert_not_called assert_has_calls \
    astimezone basicConfig call_args call_args_list call_count create_task default_factory \
    exc_info fetch_all fetchall fetchone from_bytes from_iterable fromisoformat fromtimestamp get_event_loop \
    get_running_loop getLogger get_logger is_absolute is_dir is_file is_symlink isoformat iter_content mkdtemp model_dump \
    most_common move_to_end new_event_loop perf_counter read_bytes read_text relative_to return_value rsplit \
    run_until_complete samefile setLevel set_defaults setdefault side_effect splitlines start_new_session startswith \
    endswith status_code strftime strptime subTest swapcase to_bytes to_thread total_seconds utcnow wait_for with_name \
    with_stem with_suffix write_bytes write_text zfill assertEqual assertTrue assertFalse assertRaises assertIn \
    assertIsNone assertIsNotNone setUp tearDown setUpClass tearDownClass add_done_callback run_in_executor ";

/// Go, Rust, Java and their kin, Ruby.
const OTHERS: &str = " ReadAll WriteString WriteByte WriteRune ReadString ReadLine ReadFrom WriteTo WriteHeader WriteFile \
    ReadFile ServeHTTP HandleFunc ListenAndServe StatusCode RawQuery UserAgent RemoteAddr FormValue PathValue \
    MarshalJSON UnmarshalJSON MarshalText UnmarshalText RLock RUnlock WaitGroup LoadOrStore RunParallel TempDir \
    ExitCode CombinedOutput StdoutPipe StderrPipe StdinPipe ModTime IsDir ScanLines UnixNano UnixMilli AddDate \
    ContentLength LastInsertId RowsAffected QueryRow QueryContext ExecContext QueryRowContext BeginTx \
    unwrap_or unwrap_or_else unwrap_or_default unwrap_err expect_err to_string to_owned to_vec to_lowercase to_uppercase \
    to_ascii_lowercase as_str as_ref as_mut as_bytes as_slice as_deref as_path into_iter into_inner into_boxed_str iter_mut \
    and_then or_else ok_or ok_or_else map_or map_or_else map_err is_some is_none is_empty is_ok is_err is_some_and \
    is_none_or starts_with ends_with strip_prefix strip_suffix split_whitespace split_once rsplit_once split_at \
    trim_start trim_end trim_matches char_indices from_str from_utf8 from_utf8_lossy read_to_string write_all with_capacity \
    push_str push_back pop_front pop_back get_mut get_or_insert_with or_insert or_insert_with or_default \
    contains_key sort_by sort_by_key sort_unstable filter_map flat_map take_while skip_while step_by \
    saturating_sub saturating_add wrapping_add checked_sub checked_add from_secs from_millis as_secs as_millis duration_since \
    toString hashCode getClass isEmpty isBlank containsKey containsValue entrySet keySet getKey getValue orElse orElseGet \
    orElseThrow isPresent ifPresent ofNullable getOrDefault putIfAbsent computeIfAbsent equalsIgnoreCase compareTo \
    charAt toArray toList toMap joinToString firstOrNull mapNotNull toMutableList getMessage getCause printStackTrace \
    FirstOrDefault SingleOrDefault ToList ToArray ToDictionary OrderBy GroupBy SelectMany TryGetValue ContainsKey \
    GetHashCode ToString TryParse IsNullOrEmpty IsNullOrWhiteSpace ConfigureAwait WhenAll \
    each_with_index each_with_object group_by sort_by flat_map find_by each_slice to_sym to_json to_proc respond_to \
    instance_variable_get define_method attr_accessor attr_reader ";

/// Whether a language itself calls something so.
#[must_use]
pub fn is_builtin(name: &str, language: Language) -> bool {
    let padded = format!(" {name} ");
    match language {
        Language::Script => SCRIPT.contains(&padded),
        Language::Python => PYTHON.contains(&padded),
        _ => OTHERS.contains(&padded),
    }
}

/// Verbs that stand for each other in names: who invents a name often takes another of them.
const VERBS: [&str; 36] = [
    "get",
    "load",
    "fetch",
    "read",
    "list",
    "all",
    "find",
    "lookup",
    "retrieve",
    "query",
    "search",
    "create",
    "make",
    "build",
    "new",
    "add",
    "insert",
    "save",
    "store",
    "write",
    "set",
    "update",
    "put",
    "remove",
    "delete",
    "clear",
    "parse",
    "decode",
    "check",
    "validate",
    "is",
    "has",
    "compute",
    "calculate",
    "handle",
    "process",
];

/// Words that are put behind a name to invent a variant of it.
const MODIFIERS: [&str; 22] = [
    "sync",
    "async",
    "unchecked",
    "checked",
    "with",
    "options",
    "default",
    "or",
    "safe",
    "safely",
    "strict",
    "cached",
    "raw",
    "fast",
    "lazy",
    "once",
    "context",
    "retry",
    "fallback",
    "timeout",
    "internal",
    "v2",
];

/// Whether one name is another with its verb exchanged or a modifier behind it, told by their parts in small letters.
#[must_use]
pub fn is_variant(name: &[String], existing: &[String]) -> bool {
    let verb = |part: &String| VERBS.contains(&part.as_str());
    let modifier = |part: &String| MODIFIERS.contains(&part.as_str());
    if name.len() > existing.len() && !existing.is_empty() && name.starts_with(existing) {
        return name[existing.len()..].iter().all(modifier);
    }
    match (name, existing) {
        ([own, rest @ ..], [other, more @ ..]) => {
            !rest.is_empty() && verb(own) && (verb(other) && rest == more || rest == existing)
        }
        _ => false,
    }
}

/// The other names that a name's first verb may stand for, as it is written: `fetchUser` may be `getUser`.
pub fn with_other_verbs(name: &str) -> impl Iterator<Item = String> + '_ {
    let parts = crate::words::parts(name);
    let first = parts.first().map_or(0, String::len);
    let known = parts.len() > 1 && parts.first().is_some_and(|part| VERBS.contains(&part.as_str()));
    let rest = name.get(first..).unwrap_or_default();
    let capital = name.starts_with(|c: char| c.is_ascii_uppercase());
    VERBS.iter().filter(move |_| known).map(move |verb| {
        let mut other = String::with_capacity(name.len() + 4);
        let mut letters = verb.chars();
        if let Some(first) = letters.next() {
            other.push(if capital { first.to_ascii_uppercase() } else { first });
        }
        other.extend(letters);
        other.push_str(rest);
        other
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::parts;

    #[test]
    fn builtin_names_are_known_by_language() {
        assert!(is_builtin("trimStart", Language::Script) && !is_builtin("trimStart", Language::Go));
        assert!(is_builtin("write_text", Language::Python) && is_builtin("unwrap_or_else", Language::Rust));
        assert!(!is_builtin("trim", Language::Script) && !is_builtin("loadUser", Language::Script));
    }

    #[test]
    fn variants_are_told_from_others() {
        let variant = |a: &str, b: &str| is_variant(&parts(a), &parts(b));
        assert!(variant("lookupSession", "getSession") && variant("AllCommitted", "ListCommitted"));
        assert!(variant("parseSync", "parse") && variant("renderWithOptions", "render"));
        assert!(variant("fetch_user", "user"));
        assert!(
            !variant("trimStart", "start")
                && !variant("dataIndex", "DATA")
                && !variant("getUser", "getOrder")
        );
        assert!(with_other_verbs("fetchUser").any(|other| other == "getUser"));
        assert!(with_other_verbs("FetchUser").any(|other| other == "GetUser"));
        assert!(with_other_verbs("fetch_user").any(|other| other == "get_user"));
        assert_eq!(with_other_verbs("user").count(), 0);
    }
}
