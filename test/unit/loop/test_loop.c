/* lib/loop: kicks coalesce, children end. */
#include <signal.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/loop/child.h"
#include "lib/loop/kick.h"
#include "test/unit/cmocka.h"

struct runs {
    struct kick kick;
    int n;
    int kick_again;
};

static void
on_run(void *owner)
{
    struct runs *runs = owner;

    runs->n++;
    if (runs->kick_again > 0) {
        runs->kick_again--;
        kick(&runs->kick);
        kick(&runs->kick);
    }
}

static void
kick_runs_once_for_many_notes(void **state)
{
    uv_loop_t loop;
    struct runs runs = {.n = 0};

    (void)state;
    uv_loop_init(&loop);
    kick_init(&runs.kick, &loop, 20, on_run, &runs);
    for (int i = 0; i < 100; i++) {
        kick(&runs.kick);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(runs.n, 1);
    kick_close(&runs.kick);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void
kick_waits_a_window_while_busy_but_not_when_idle(void **state)
{
    uv_loop_t loop;
    struct runs runs = {.kick_again = 2};
    uint64_t start_ms = clock_monotonic_ms();

    (void)state;
    uv_loop_init(&loop);
    kick_init(&runs.kick, &loop, 30, on_run, &runs);
    kick(&runs.kick);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(runs.n, 3);
    assert_true(clock_monotonic_ms() - start_ms >= 60);
    kick_close(&runs.kick);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void
kick_overtakes_a_later_retry(void **state)
{
    uv_loop_t loop;
    struct runs runs = {.n = 0};
    uint64_t start_ms = clock_monotonic_ms();

    (void)state;
    uv_loop_init(&loop);
    kick_init(&runs.kick, &loop, 1, on_run, &runs);
    kick_later(&runs.kick, 60000);
    kick(&runs.kick);
    kick_later(&runs.kick, 30000);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(runs.n, 1);
    assert_true(clock_monotonic_ms() - start_ms < 20000);
    kick_close(&runs.kick);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct seen {
    int n;
    struct child_result result; /* with copies of the texts */
};

static void
on_done(void *owner, const struct child_result *result)
{
    struct seen *seen = owner;

    seen->n++;
    seen->result = *result;
    seen->result.out = (struct str)STR_INIT;
    seen->result.text = (struct str)STR_INIT;
    str_add_bytes(&seen->result.out, str_text(&result->out), result->out.len);
    str_add_bytes(&seen->result.text, str_text(&result->text), result->text.len);
}

static struct seen
run_child(const char *const *argv, const void *input, size_t input_len, uint64_t deadline_ms)
{
    uv_loop_t loop;
    struct seen seen = {0};
    struct child_spec spec = {
        .argv = argv, .input = input, .input_len = input_len, .deadline_ms = deadline_ms};

    uv_loop_init(&loop);
    child_run(&loop, &spec, on_done, &seen);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(seen.n, 1);
    return seen;
}

static void
seen_done(struct seen *seen)
{
    str_done(&seen->result.out);
    str_done(&seen->result.text);
}

static void
child_gets_its_input_and_gives_its_output(void **state)
{
    const char *const argv[] = {"cat", NULL};
    size_t len = (size_t)1024 * 1024;
    char *input = malloc(len);

    (void)state;
    assert_non_null(input);
    memset(input, 'x', len);
    AUTO(seen) struct seen seen = run_child(argv, input, len, 10000);
    assert_true(seen.result.started);
    assert_int_equal(seen.result.exit_code, 0);
    assert_int_equal(seen.result.out.len, len);
    free(input);
}

static void
child_reports_exit_code_and_standard_error(void **state)
{
    const char *const argv[] = {"ls", "/nowhere/at/all", NULL};

    (void)state;
    AUTO(seen) struct seen seen = run_child(argv, NULL, 0, 10000);
    assert_int_equal(seen.result.exit_code, 2);
    assert_non_null(strstr(seen.result.text.text, "/nowhere/at/all"));
}

static void
child_that_cannot_start_says_why(void **state)
{
    const char *const argv[] = {"no-such-program-here", NULL};

    (void)state;
    AUTO(seen) struct seen seen = run_child(argv, "x", 1, 10000);
    assert_false(seen.result.started);
    assert_non_null(strstr(seen.result.text.text, "no-such-program-here"));
}

static void
child_is_killed_at_its_deadline_with_what_it_started(void **state)
{
    /* The inner sleep holds the pipes open: without the group kill this would take a minute. */
    const char *const argv[] = {"timeout", "60", "sleep", "60", NULL};
    uint64_t start_ms = clock_monotonic_ms();

    (void)state;
    AUTO(seen) struct seen seen = run_child(argv, NULL, 0, 100);
    assert_true(seen.result.timed_out);
    assert_int_equal(seen.result.signal, SIGKILL);
    assert_int_equal(seen.result.exit_code, -1);
    assert_true(clock_monotonic_ms() - start_ms < 20000);
}

static void
child_that_does_not_read_its_input_is_no_trouble(void **state)
{
    const char *const argv[] = {"true", NULL};
    size_t len = (size_t)4 * 1024 * 1024;
    char *input = calloc(1, len);

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_non_null(input);
    AUTO(seen) struct seen seen = run_child(argv, input, len, 10000);
    assert_int_equal(seen.result.exit_code, 0);
    free(input);
}

/* ---- kept ---------------------------------------------------------------------------------- */

struct talk {
    struct child *child;
    int n_lines, n_done, end_after;
    struct str said;
    bool started, timed_out;
    int exit_code, signal;
};

static void
on_line(void *owner, const char *line)
{
    struct talk *talk = owner;

    str_addf(&talk->said, "[%s]", line);
    talk->n_lines++;
    if (talk->n_lines == talk->end_after) {
        child_end_input(talk->child);
    } else if (talk->n_lines < talk->end_after) {
        child_write(talk->child, "again\n", 6);
    }
}

static void
on_talk_done(void *owner, const struct child_result *result)
{
    struct talk *talk = owner;

    talk->n_done++;
    talk->started = result->started;
    talk->timed_out = result->timed_out;
    talk->exit_code = result->exit_code;
    talk->signal = result->signal;
    str_add(&talk->said, str_text(&result->text));
}

static struct talk
talk_to(const char *const *argv, int end_after, uint64_t deadline_ms)
{
    uv_loop_t loop;
    struct talk talk = {.end_after = end_after};
    const struct child_keep_spec spec = {
        .argv = argv, .line = on_line, .done = on_talk_done, .owner = &talk};

    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    talk.child = child_keep(&loop, &spec);
    child_set_deadline(talk.child, deadline_ms);
    child_write(talk.child, "first\n", 6);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(talk.n_done, 1);
    return talk;
}

static void
a_kept_child_answers_line_by_line_until_its_input_ends(void **state)
{
    /* sed would say it in blocks, were its output a pipe. */
    const char *const argv[] = {"sed", "s/^/said /", NULL};
    struct talk talk = talk_to(argv, 3, 20000);

    (void)state;
    assert_string_equal(talk.said.text, "[said first][said again][said again]");
    assert_true(talk.started);
    assert_int_equal(talk.exit_code, 0);
    str_done(&talk.said);
}

static void
a_kept_child_that_ends_by_itself_is_told_of(void **state)
{
    const char *const argv[] = {"sh", "-c", "read x; echo bad $x >&2; printf end; exit 3", NULL};
    struct talk talk = talk_to(argv, 5, 20000);

    (void)state;
    assert_string_equal(talk.said.text, "[bad first][end]");
    assert_int_equal(talk.exit_code, 3);
    str_done(&talk.said);
}

static void
a_kept_child_that_says_nothing_is_killed_at_its_deadline(void **state)
{
    const char *const argv[] = {"sleep", "60", NULL};
    struct talk talk = talk_to(argv, 5, 50);

    (void)state;
    assert_true(talk.timed_out);
    assert_int_equal(talk.signal, SIGKILL);
    assert_int_equal(talk.said.len, 0);
    str_done(&talk.said);
}

static void
a_kept_child_that_cannot_start_says_why(void **state)
{
    const char *const argv[] = {"no-such-program-here", NULL};
    struct talk talk = talk_to(argv, 5, 50);

    (void)state;
    assert_false(talk.started);
    assert_non_null(strstr(talk.said.text, "no-such-program-here"));
    str_done(&talk.said);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kick_runs_once_for_many_notes),
        cmocka_unit_test(kick_waits_a_window_while_busy_but_not_when_idle),
        cmocka_unit_test(kick_overtakes_a_later_retry),
        cmocka_unit_test(child_gets_its_input_and_gives_its_output),
        cmocka_unit_test(child_reports_exit_code_and_standard_error),
        cmocka_unit_test(child_that_cannot_start_says_why),
        cmocka_unit_test(child_is_killed_at_its_deadline_with_what_it_started),
        cmocka_unit_test(child_that_does_not_read_its_input_is_no_trouble),
        cmocka_unit_test(a_kept_child_answers_line_by_line_until_its_input_ends),
        cmocka_unit_test(a_kept_child_that_ends_by_itself_is_told_of),
        cmocka_unit_test(a_kept_child_that_says_nothing_is_killed_at_its_deadline),
        cmocka_unit_test(a_kept_child_that_cannot_start_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
