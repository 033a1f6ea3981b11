//! Test runners and linters of other projects, and what they print.
//!
//! Invariant: the same seed prints the same but for times and what else changes from run to run.

/// One project's way to check.
pub(crate) struct Runner {
    /// How it is called here.
    pub(crate) name: &'static str,
    /// Runs the tests.
    pub(crate) tests: &'static str,
    /// What makes it run some of them only.
    pub(crate) narrow: &'static str,
    /// Lints, or builds.
    pub(crate) lints: &'static str,
    passes: &'static str,
    fails: &'static str,
    lint_fails: &'static str,
}

impl Runner {
    /// What it prints: N are counts, K the failures, T times that are others in each run.
    pub(crate) fn output(&self, passed: bool, tests: bool, seed: u64, run: u64) -> String {
        let text = match (passed, tests) {
            (true, true) => self.passes,
            (true, false) => "",
            (false, true) => self.fails,
            (false, false) => self.lint_fails,
        };
        let (count, failures) = (40 + seed % 50, 1 + seed % 7);
        let line = 10 + (seed >> 9) % 400;
        text.replace("{N}", &count.to_string())
            .replace("{K}", &failures.to_string())
            .replace("{L}", &line.to_string())
            .replace("{T}", &format!("{}.{:02}", 1 + run % 9, run % 97))
            .replace("{MS}", &(12 + run * 7 % 900).to_string())
    }
}

/// Those that are tried.
pub(crate) static RUNNERS: [Runner; 16] = [
    Runner {
        name: "jest",
        tests: "npx jest",
        narrow: " src/basket.test.ts",
        lints: "npx eslint src --max-warnings 0",
        passes: "  console.error\n    Error: boom (expected by the test)\n      at Object.<anonymous> (src/basket.test.ts:{L}:11)\n\nPASS src/basket.test.ts ({T} s)\n  basket\n    ✓ keeps its order ({MS} ms)\n\nTest Suites: 3 passed, 3 total\nTests:       {N} passed, {N} total\nSnapshots:   0 total\nTime:        {T} s, estimated 4 s\nRan all test suites.",
        fails: "FAIL src/basket.test.ts\n  ● basket › keeps its order\n\n    expect(received).toBe(expected)\n      at Object.<anonymous> (src/basket.test.ts:{L}:11)\n\nTest Suites: 1 failed, 2 passed, 3 total\nTests:       {K} failed, {N} passed, 50 total\nTime:        {T} s",
        lint_fails: "/app/src/basket.ts\n  {L}:7  error  'x' is defined but never used  no-unused-vars\n\n✖ {K} problems ({K} errors, 0 warnings)",
    },
    Runner {
        name: "vitest",
        tests: "pnpm vitest run",
        narrow: " src/cart.spec.ts",
        lints: "pnpm tsc --noEmit",
        passes: "\u{1b}[1m\u{1b}[46m RUN \u{1b}[49m\u{1b}[22m v3.1.1 /app\n\nstderr | src/cart.spec.ts > cart > reports\nError: no such article\n\n \u{1b}[32m✓\u{1b}[39m src/cart.spec.ts ({N} tests) {MS}ms\n\n\u{1b}[2m Test Files \u{1b}[22m \u{1b}[1m\u{1b}[32m3 passed\u{1b}[39m\u{1b}[22m (3)\n\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[32m{N} passed\u{1b}[39m\u{1b}[22m ({N})\n   Start at  10:{L}:12\n   Duration  {T}s",
        fails: " \u{1b}[31m❯\u{1b}[39m src/cart.spec.ts ({N} tests | {K} failed) {MS}ms\n   × cart > keeps its order {MS}ms\n     → expected 1 to be 2\n\n\u{1b}[2m Test Files \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m\u{1b}[22m | 2 passed (3)\n\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m{K} failed\u{1b}[39m\u{1b}[22m | {N} passed (50)\n   Duration  {T}s",
        lint_fails: "src/cart.ts({L},7): error TS2339: Property 'sum' does not exist on type 'Cart'.",
    },
    Runner {
        name: "pytest",
        tests: "uv run pytest -q",
        narrow: " tests/test_basket.py",
        lints: "uv run ruff check .",
        passes: "..........................................                     [100%]\n=============================== warnings summary ===============================\ntests/test_basket.py::test_error\n  DeprecationWarning: error handling is old\n{N} passed, 2 warnings in {T}s",
        fails: "....F.....\n=================================== FAILURES ===================================\n>       assert total(b) == 3\nE       assert 2 == 3\n\ntests/test_basket.py:{L}: AssertionError\n=========================== short test summary info ============================\nFAILED tests/test_basket.py::test_total - assert 2 == 3\n{K} failed, {N} passed in {T}s",
        lint_fails: "shop/basket.py:{L}:1: F401 `os` imported but unused\nFound {K} errors.\n[*] 1 fixable with the `--fix` option.",
    },
    Runner {
        name: "gotest",
        tests: "go test ./...",
        narrow: " -run TestBasket -v",
        lints: "go vet ./...",
        passes: "ok  \tshop/basket\t{T}s\nok  \tshop/order{N}\t(cached)\n?   \tshop/cmd\t[no test files]",
        fails: "--- FAIL: TestBasket{K} (0.00s)\n    basket_test.go:{L}: got 2, want 3\nFAIL\nFAIL\tshop/basket\t{T}s\nok  \tshop/order\t(cached)\nFAIL",
        lint_fails: "# shop/basket\nvet: basket/basket.go:{L}:2: undefined: total{K}",
    },
    Runner {
        name: "cargo",
        tests: "cargo nextest run --workspace",
        narrow: " -E 'test(basket)'",
        lints: "cargo clippy --all-targets -- -D warnings",
        passes: "    Finished `test` profile [unoptimized] target(s) in {T}s\n    Starting {N} tests across 3 binaries\n        PASS [   0.0{MS}s] shop basket::error_is_told\n------------\n     Summary [   {T}s] {N} tests run: {N} passed, 0 skipped",
        fails: "    Starting {N} tests across 3 binaries\n        FAIL [   0.0{MS}s] shop basket::keeps_order\n  thread 'basket::keeps_order' panicked at src/basket.rs:{L}:5:\n  assertion failed\n     Summary [   {T}s] {N} tests run: 30 passed, {K} failed, 0 skipped\nerror: test run failed",
        lint_fails: "error: this could be a `const fn`\n  --> src/basket.rs:{L}:1\nerror: could not compile `shop` (lib) due to {K} previous errors",
    },
    Runner {
        name: "mvn",
        tests: "mvn -q verify",
        narrow: " -Dtest=BasketTest",
        lints: "mvn checkstyle:check compile",
        passes: "[INFO] Tests run: {N}, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: {T} s -- in shop.BasketTest\n[INFO] BUILD SUCCESS\n[INFO] Total time:  {T} s\n[INFO] Finished at: 2026-03-01T10:12:31+01:00",
        fails: "[ERROR] Tests run: {N}, Failures: {K}, Errors: 0, Skipped: 0, Time elapsed: {T} s <<< FAILURE!\n[ERROR]   BasketTest.keepsOrder:{L} expected: <1> but was: <2>\n[INFO] BUILD FAILURE\n[INFO] Total time:  {T} s",
        lint_fails: "[ERROR] COMPILATION ERROR :\n[ERROR] /app/src/main/java/shop/Basket.java:[{L},9] cannot find symbol\n[INFO] BUILD FAILURE",
    },
    Runner {
        name: "gradle",
        tests: "./gradlew test",
        narrow: " --tests 'shop.BasketTest'",
        lints: "./gradlew compileKotlin",
        passes: "> Task :part{N}:test\n\nBUILD SUCCESSFUL in {MS}s\n7 actionable tasks: 2 executed, 5 up-to-date",
        fails: "> Task :test FAILED\n\nBasketTest > keepsOrder() FAILED\n    org.opentest4j.AssertionFailedError at BasketTest.kt:{L}\n\n{N} tests completed, {K} failed\n\nFAILURE: Build failed with an exception.\n\nBUILD FAILED in {MS}s",
        lint_fails: "e: file:///app/src/main/kotlin/Basket.kt:{L}:9 Unresolved reference: total{K}\n\nBUILD FAILED in {MS}s",
    },
    Runner {
        name: "dotnet",
        tests: "dotnet test",
        narrow: " --filter BasketTests",
        lints: "dotnet build",
        passes: "Passed!  - Failed:     0, Passed:    {N}, Skipped:     0, Total:    {N}, Duration: {MS} ms - Shop.Tests.dll (net9.0)",
        fails: "  Failed KeepsOrder [{MS} ms]\n  Error Message:\n   Assert.Equal() Failure\n   at BasketTests.cs:line {L}\n\nFailed!  - Failed:     {K}, Passed:    {N}, Skipped:     0, Total:    60, Duration: {MS} ms - Shop.Tests.dll (net9.0)",
        lint_fails: "/app/Basket.cs({L},9): error CS0103: The name 'total{K}' does not exist in the current context\n\nBuild FAILED.\n    0 Warning(s)\n    {K} Error(s)\n\nTime Elapsed 00:00:0{T}",
    },
    Runner {
        name: "phpunit",
        tests: "./vendor/bin/phpunit",
        narrow: " --filter Basket",
        lints: "composer phpstan",
        passes: "PHPUnit 11.0.1 by Sebastian Bergmann and contributors.\n\n...............................   {N} / {N} (100%)\n\nTime: 00:00.{MS}, Memory: 10.00 MB\n\nOK ({N} tests, 90 assertions)",
        fails: "..F....   {N} / {N} (100%)\n\nTime: 00:00.{MS}, Memory: 10.00 MB\n\nThere was {K} failure:\n\n1) BasketTest::testKeepsOrder\nFailed asserting that 2 is identical to 3.\n\n/app/tests/BasketTest.php:{L}\n\nFAILURES!\nTests: {N}, Assertions: 90, Failures: {K}.",
        lint_fails: " ------ ----------------\n  {L}    Undefined variable: $total\n ------ ----------------\n\n [ERROR] Found {K} errors",
    },
    Runner {
        name: "rspec",
        tests: "bundle exec rspec",
        narrow: " spec/basket_spec.rb",
        lints: "bundle exec rubocop",
        passes: "................\n\nFinished in {T} seconds (files took {T} seconds to load)\n{N} examples, 0 failures\n\nRandomized with seed 4{MS}",
        fails: "....F...\n\nFailures:\n\n  1) Basket keeps its order\n     # ./spec/basket_spec.rb:{L}\n\nFinished in {T} seconds (files took {T} seconds to load)\n{N} examples, {K} failures\n\nRandomized with seed 4{MS}",
        lint_fails: "app/basket.rb:{L}:3: W: Lint/UselessAssignment: Useless assignment\n\n12 files inspected, {K} offenses detected",
    },
    Runner {
        name: "bun",
        tests: "bun test",
        narrow: " cart",
        lints: "bun run typecheck",
        passes: "bun test v1.2.3\n\ncart.test.ts:\n✓ cart > keeps its order [{MS}ms]\n\n {N} pass\n 0 fail\n 90 expect() calls\nRan {N} tests across 3 files. [{MS}.00ms]",
        fails: "cart.test.ts:\n✗ cart > keeps its order [{MS}ms]\nerror: expect(received).toBe(expected)\n      at cart.test.ts:{L}:5\n\n {N} pass\n {K} fail\nRan 50 tests across 3 files. [{MS}.00ms]",
        lint_fails: "$ tsc --noEmit\nsrc/cart.ts({L},7): error TS2304: Cannot find name 'total{K}'.\nerror: script \"typecheck\" exited with code 2",
    },
    Runner {
        name: "deno",
        tests: "deno test -A",
        narrow: " cart_test.ts",
        lints: "deno check mod.ts",
        passes: "running {N} tests from ./cart_test.ts\nkeeps its order ... ok ({MS}ms)\nreports an error ... ok ({MS}ms)\n\nok | {N} passed | 0 failed ({MS}ms)",
        fails: "running {N} tests from ./cart_test.ts\nkeeps its order ... FAILED ({MS}ms)\n\n ERRORS \n\nkeeps its order => ./cart_test.ts:{L}:6\nerror: AssertionError\n\nFAILED | {N} passed | {K} failed ({MS}ms)\n\nerror: Test failed",
        lint_fails: "TS2304 [ERROR]: Cannot find name 'total{K}'.\n    at file:///app/mod.ts:{L}:7\n\nerror: Type checking failed.",
    },
    Runner {
        name: "make",
        tests: "make check",
        narrow: " V=1",
        lints: "make lint",
        passes: "Testsuite summary for shop 1.0\n# TOTAL: {N}\n# PASS:  {N}\n# FAIL:  0\n# ERROR: 0\nmake[1]: Leaving directory '/app'",
        fails: "FAIL: basket_{K}.sh\nTestsuite summary for shop 1.0\n# TOTAL: {N}\n# PASS:  30\n# FAIL:  {K}\n# ERROR: 0\nmake: *** [Makefile:{L}: check] Error 1",
        lint_fails: "src/basket.c:{L}:5: error: unused variable 'total{K}'\nmake: *** [Makefile:12: lint] Error 1",
    },
    Runner {
        name: "tox",
        tests: "tox -e py312",
        narrow: " -- tests/test_basket.py",
        lints: "tox -e lint",
        passes: "py312: commands[0]> pytest\n{N} passed in {T}s\n  py312: OK ({T}=setup[0.03]+cmd[{T}] seconds)\n  congratulations :) ({T} seconds)",
        fails: "py312: commands[0]> pytest\nFAILED tests/test_basket.py::test_total_{K} - assert 2 == 3\n{K} failed, {N} passed in {T}s\npy312: exit 1 ({T} seconds) /app> pytest pid=4{MS}\n  py312: FAIL code 1 ({T}=setup[0.03]+cmd[{T}] seconds)\n  evaluation failed :( ({T} seconds)",
        lint_fails: "shop/basket.py:{L}: error: Name \"total{K}\" is not defined  [name-defined]\n  lint: FAIL code 1 ({T} seconds)",
    },
    Runner {
        name: "nx",
        tests: "npx nx run-many -t test",
        narrow: " --projects=cart",
        lints: "npx nx lint cart",
        passes: "   ✔  nx run cart:test  [existing outputs match the cache, left as is]\n\n NX   Successfully ran target test for {N} projects ({T}s)\n\nNx read the output from the cache instead of running the command for 3 out of 4 tasks.",
        fails: "   ✖  nx run cart:test\n      FAIL src/cart.spec.ts:{L}\n\n NX   Running target test for 4 projects failed\n\nFailed tasks:\n\n- cart:test ({K})",
        lint_fails: "   ✖  nx run cart:lint\n  {L}:7  error  'x' is defined but never used\n\n✖ {K} problems ({K} errors, 0 warnings)\n\n NX   Running target lint for project cart failed",
    },
    Runner {
        name: "turbo",
        tests: "pnpm turbo run test",
        narrow: " --filter=web",
        lints: "turbo lint",
        passes: "web:test: cache hit, replaying logs 9f8e7d6c5b4a3210\nweb:test:  Tests  {N} passed ({N})\n\n Tasks:    4 successful, 4 total\nCached:    4 cached, 4 total\n  Time:    {MS}ms >>> FULL TURBO",
        fails: "web:test: cache miss, executing 9f8e7d6c5b4a3210\nweb:test:  FAIL  src/cart.spec.ts > keeps its order:{L}\nweb:test:  Tests  {K} failed | {N} passed (50)\nweb#test: command (/app/web) exited (1)\n\n Tasks:    3 successful, 4 total\nFailed:    web#test\n\n ERROR  run failed: command  exited (1)",
        lint_fails: "web:lint:   {L}:7  error  'x' is defined but never used\nweb:lint: ✖ {K} problems ({K} errors, 0 warnings)\n ERROR  run failed: command  exited (1)",
    },
];
