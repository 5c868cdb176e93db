/* felix/dataplane/restore: answers, silence, ends and idleness of the process it keeps. The tool is
 * played by scripts. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "felix/dataplane/restore.h"
#include "lib/base/file.h"
#include "test/unit/cmocka.h"

/* Says comments of its input, as the tool does with -v. */
#define ANSWERS "while read line; do case \"$line\" in \"#\"*) echo \"$line\";; esac; done\n"
/* Kept (with -v) it does the one, on its own the other. */
#define KEPT_ELSE(kept, own) "if [ \"$2\" = -v ]; then " kept "; else cat >/dev/null; " own "; fi\n"

static char dir[] = "/tmp/canal-restore-XXXXXX";

struct rig {
    uv_loop_t loop;
    struct restore *restore;
    unsigned n_done, n_good;
    char error[ERR_TEXT_MAX];
};

static void
on_done(void *owner, bool good, const struct err *err)
{
    struct rig *rig = owner;

    rig->n_done++;
    rig->n_good += good;
    if (!good) {
        snprintf(rig->error, sizeof rig->error, "%s", err->text);
    }
}

static void
rig_init(struct rig *rig, const char *script, uint64_t deadline_ms, uint64_t idle_ms)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    const struct restore_spec spec = {
        .name = "fake-restore", .lock_wait_s = 1, .idle_ms = idle_ms, .deadline_ms = deadline_ms};

    *rig = (struct rig){0};
    str_addf(&path, "%s/fake-restore", dir);
    str_addf(&text, "#!/bin/sh\n%s", script);
    assert_true(file_write_atomic(path.text, text.text, text.len, 0755, NULL));
    uv_loop_init(&rig->loop);
    rig->restore = restore_new(&rig->loop, &spec);
}

static void
rig_done(struct rig *rig)
{
    restore_stop(rig->restore);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    restore_free(rig->restore);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
}

/* True when it was taken. */
static bool
write_one(struct rig *rig, const char *text)
{
    AUTO(str) struct str input = STR_INIT;
    unsigned n_done = rig->n_done;
    unsigned n_good = rig->n_good;

    str_add(&input, text);
    restore_write(rig->restore, &input, on_done, rig);
    while (rig->n_done == n_done) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
    assert_int_equal(rig->n_done, n_done + 1);
    return rig->n_good > n_good;
}

static void
each_input_is_acknowledged_by_the_one_process(void **state)
{
    struct rig rig;

    (void)state;
    /* A second one would find the file. */
    rig_init(&rig, "[ ! -e \"$0.started\" ] || exit 1; : >\"$0.started\"\n" ANSWERS, 20000, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    }
    rig_done(&rig);
}

static void
silence_is_an_error_and_the_next_goes_to_its_own_process(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, KEPT_ELSE("cat >/dev/null", "exit 0"), 200, 0);
    assert_false(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_non_null(strstr(rig.error, "no answer"));
    assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_false(write_one(&rig, "*filter\nCOMMIT\n")); /* kept again, silent again */
    rig_done(&rig);
}

static void
an_end_without_an_answer_is_an_error_whatever_its_code(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, KEPT_ELSE("read line; echo going; exit 0", "exit 0"), 20000, 0);
    assert_false(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_non_null(strstr(rig.error, "going"));
    assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    rig_done(&rig);
}

static void
a_table_called_incompatible_is_an_error_whatever_the_code(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig,
             "echo \"# Table \\`filter' is incompatible, use 'nft' tool.\"\n" KEPT_ELSE(
                 "while read line; do echo \"$line\"; done", "exit 0"),
             20000, 0);
    assert_false(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_non_null(strstr(rig.error, "incompatible"));
    assert_false(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_non_null(strstr(rig.error, "incompatible"));
    rig_done(&rig);
}

static void
the_refused_line_is_quoted(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, KEPT_ELSE("exit 1", "echo \"deadline: line 2 failed\" >&2; exit 1"), 20000, 0);
    assert_false(write_one(&rig, "*filter\n-A cali-x -j X\nCOMMIT\n"));
    assert_string_equal(restore_refused_line(rig.restore), "");
    assert_false(write_one(&rig, "*filter\n-A cali-x -j X\nCOMMIT\n"));
    assert_non_null(strstr(rig.error, "(-A cali-x -j X)"));
    assert_string_equal(restore_refused_line(rig.restore), "-A cali-x -j X");
    rig_done(&rig);
}

static void
an_idle_process_ends_and_the_next_input_starts_another(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, ANSWERS, 20000, 50);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
        uv_run(&rig.loop, UV_RUN_DEFAULT); /* nothing is left once it has ended */
    }
    rig_done(&rig);
}

static void
stopped_while_it_writes_it_is_let_to_its_end(void **state)
{
    AUTO(str) struct str input = STR_INIT;
    struct rig rig;

    (void)state;
    rig_init(&rig, "sleep 0.1\n" ANSWERS, 20000, 0);
    str_add(&input, "*filter\nCOMMIT\n");
    restore_write(rig.restore, &input, on_done, &rig);
    rig_done(&rig);
    assert_int_equal(rig.n_good, 1);
}

static void
times_for_the_lock_change_with_the_next_write(void **state)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str said = STR_INIT;
    struct rig rig;

    (void)state;
    rig_init(&rig, "echo \"$@\" >>\"$0.arguments\"\n" ANSWERS, 20000, 0);
    assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    restore_set_lock(rig.restore, 7, 90);
    assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    assert_true(write_one(&rig, "*filter\nCOMMIT\n"));
    rig_done(&rig);
    str_addf(&path, "%s/fake-restore.arguments", dir);
    assert_true(file_read(path.text, 4096, &said, NULL));
    assert_string_equal(str_text(&said), "--noflush -v -w 1\n--noflush -v -w 7 -W 90000\n");
}

static int
begin(void **state)
{
    AUTO(str) struct str path = STR_INIT;

    (void)state;
    if (!mkdtemp(dir)) {
        return -1;
    }
    str_addf(&path, "%s:%s", dir, getenv("PATH"));
    return setenv("PATH", path.text, 1);
}

static int
end(void **state)
{
    static const char *const names[] = {"fake-restore", "fake-restore.started",
                                        "fake-restore.arguments"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(str) struct str path = STR_INIT;
        str_addf(&path, "%s/%s", dir, names[i]);
        unlink(path.text);
    }
    return rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_input_is_acknowledged_by_the_one_process),
        cmocka_unit_test(silence_is_an_error_and_the_next_goes_to_its_own_process),
        cmocka_unit_test(an_end_without_an_answer_is_an_error_whatever_its_code),
        cmocka_unit_test(a_table_called_incompatible_is_an_error_whatever_the_code),
        cmocka_unit_test(the_refused_line_is_quoted),
        cmocka_unit_test(an_idle_process_ends_and_the_next_input_starts_another),
        cmocka_unit_test(times_for_the_lock_change_with_the_next_write),
        cmocka_unit_test(stopped_while_it_writes_it_is_let_to_its_end),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, begin, end);
}
