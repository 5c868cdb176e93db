/* lib/base: errors, text, tables, interning, files, small parsers, log limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/footprint.h"
#include "lib/base/intern.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "test/unit/cmocka.h"

static void
err_wrap_puts_context_in_front(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_false(err_set(&err, "'%s' is bad", "x"));
    assert_false(err_wrap(&err, "IPPool %s: spec.cidr", "p"));
    assert_string_equal(err.text, "IPPool p: spec.cidr: 'x' is bad");
    assert_false(err_sys(&err, 2, "open"));
    assert_int_equal(err.code, 2);
    assert_false(err_wrap(&err, "outer"));
    assert_int_equal(err.code, 2);
    assert_false(err_set(NULL, "nobody wants the reason"));
}

static void
err_text_is_one_printable_line_however_long(void **state)
{
    struct err err = ERR_INIT;
    char big[2000];

    (void)state;
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_false(err_set(&err, "a\nb\x1b[31m"));
    assert_string_equal(err.text, "a?b?[31m");
    assert_false(err_set(&err, "%s", big));
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

static void
str_grows_drops_and_gives_away(void **state)
{
    AUTO(str) struct str text = STR_INIT;

    (void)state;
    assert_string_equal(str_text(&text), "");
    for (int i = 0; i < 1000; i++) {
        str_addf(&text, "%d,", i);
    }
    assert_int_equal(text.len, strlen(text.text));
    str_drop(&text, 2);
    assert_memory_equal(text.text, "1,2,", 4);
    str_drop(&text, 100000);
    assert_int_equal(text.len, 0);
    str_add(&text, "mine");
    AUTO_FREE char *stolen = str_steal(&text);
    assert_string_equal(stolen, "mine");
    assert_int_equal(text.len, 0);
}

static void
vec_keeps_what_is_pushed(void **state)
{
    VEC(int) numbers = VEC_INIT;
    int sum = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        VEC_PUSH(&numbers, i);
    }
    VEC_REMOVE_SWAP(&numbers, 0);
    VEC_FOREACH (&numbers, it) {
        sum += *it;
    }
    assert_int_equal(sum, 4950);
    assert_int_equal(numbers.items[0], 99);
    VEC_DONE(&numbers);
}

static void
table_finds_replaces_and_removes(void **state)
{
    struct table *table = table_new();
    char key[16];
    int one = 1;
    int two = 2;

    (void)state;
    assert_null(table_put(table, "a", &one));
    assert_ptr_equal(table_put(table, "a", &two), &one);
    assert_ptr_equal(table_get(table, "a"), &two);
    assert_null(table_get(table, "b"));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        table_put(table, key, &one);
    }
    assert_int_equal(table_count(table), 1001);
    size_t n = 0;
    TABLE_FOREACH (table, entry) {
        n++;
        table_take_bytes(table, table_key(entry), table_key_len(entry));
    }
    assert_int_equal(n, 1001);
    assert_int_equal(table_count(table), 0);
    assert_null(table_take(table, "a"));
    table_free(table, NULL);
}

static void
intern_counts_references_and_reuses_ids(void **state)
{
    struct intern *intern = intern_new();
    char text[16];

    (void)state;
    uint32_t a = intern_take(intern, "app=web", 7);
    assert_int_equal(intern_take(intern, "app=web", 7), a);
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(text, sizeof text, "s%d", i);
        assert_int_not_equal(intern_take(intern, text, (size_t)len), 0);
    }
    assert_int_equal(intern_count(intern), 5001);
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(text, sizeof text, "s%d", i);
        uint32_t id = intern_find(intern, text, (size_t)len);
        assert_string_equal(intern_text(intern, id), text);
        intern_drop(intern, id);
        assert_int_equal(intern_find(intern, text, (size_t)len), 0);
    }
    intern_drop(intern, a);
    assert_int_equal(intern_find(intern, "app=web", 7), a);
    intern_drop(intern, a);
    assert_int_equal(intern_count(intern), 0);
    assert_string_equal(intern_text(intern, 0), "");
    intern_free(intern);
}

static void
small_parsers_refuse_what_is_not_exact(void **state)
{
    static const char *const bad_numbers[] = {"",   "-1",  "+1",         " 1",
                                              "1 ", "0x1", "4294967296", "11"};
    static const char *const bad_asns[] = {"",        "0",  "0x1", "1.65536",
                                           "65536.1", "1.", ".1",  "4294967296",
                                           "64512 ",  "-1", "0.0", "1;}"};
    static const char *const bad_durations[] = {"", "s", "1x", "-1s", "1s1", "1..5s", "1s ", "ms"};
    uint32_t value = 7;
    uint64_t ms = 7;
    bool flag = false;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_numbers); i++) {
        assert_false(parse_u32(bad_numbers[i], 1, 10, &value, &err));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_asns); i++) {
        assert_false(parse_asn(bad_asns[i], &value, &err));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_durations); i++) {
        assert_false(parse_duration_ms(bad_durations[i], &ms, &err));
    }
    assert_int_equal(value, 7);
    assert_int_equal(ms, 7);
    assert_false(parse_bool("maybe", &flag, &err));
    assert_string_equal(err.text, "'maybe' is not true or false");
}

static void
small_parsers_read_what_people_write(void **state)
{
    uint32_t value = 0;
    uint64_t ms = 0;
    bool flag = false;

    (void)state;
    assert_true(parse_asn("4294967295", &value, NULL));
    assert_int_equal(value, 4294967295U);
    assert_true(parse_asn("1.10", &value, NULL));
    assert_int_equal(value, 65546);
    assert_true(parse_duration_ms("90", &ms, NULL));
    assert_int_equal(ms, 90000);
    assert_true(parse_duration_ms("1m30s", &ms, NULL));
    assert_int_equal(ms, 90000);
    assert_true(parse_duration_ms("1.5s", &ms, NULL));
    assert_int_equal(ms, 1500);
    assert_true(parse_duration_ms("250ms", &ms, NULL));
    assert_int_equal(ms, 250);
    assert_true(parse_bool("Enabled", &flag, NULL));
    assert_true(flag);
}

static void
file_is_replaced_whole(void **state)
{
    char dir[] = "/tmp/test_base_XXXXXX";
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    (void)state;
    assert_non_null(mkdtemp(dir));
    str_addf(&path, "%s/a/b", dir);
    assert_true(file_make_dir(path.text, 0755, &err));
    str_add(&path, "/file");
    assert_true(file_write_atomic(path.text, "one", 3, 0600, &err));
    assert_true(file_write_atomic(path.text, "two", 3, 0600, &err));
    assert_true(file_read(path.text, 10, &text, &err));
    assert_string_equal(text.text, "two");
    assert_false(file_read(path.text, 2, &text, &err));
    unlink(path.text);
    assert_false(file_read(path.text, 2, &text, &err));
    assert_int_equal(err.code, 2);
    str_clear(&path);
    str_addf(&path, "%s/a/b", dir);
    rmdir(path.text);
    str_clear(&path);
    str_addf(&path, "%s/a", dir);
    rmdir(path.text);
    assert_int_equal(rmdir(dir), 0);
}

static void
a_repeating_message_passes_once_a_period(void **state)
{
    struct log_limit limit = {0};
    uint32_t n_held = 0;

    (void)state;
    assert_true(log_limit_pass(&limit, 3600, &n_held));
    assert_false(log_limit_pass(&limit, 3600, &n_held));
    assert_false(log_limit_pass(&limit, 3600, &n_held));
    limit.next_ms = 0;
    assert_true(log_limit_pass(&limit, 3600, &n_held));
    assert_int_equal(n_held, 2);
}

static void
the_log_goes_to_a_file_at_a_level_of_its_own(void **state)
{
    char path[] = "/tmp/canal-log-XXXXXX";
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    log_setup(LOG_ERROR, LOG_TEXT);
    assert_false(log_enabled(LOG_WARN, "one"));
    assert_true(log_to_file(path, LOG_DEBUG, &err));
    assert_true(log_debug_only("^on", &err));
    assert_true(log_enabled(LOG_DEBUG, "one"));
    assert_false(log_enabled(LOG_DEBUG, "two"));
    assert_true(log_enabled(LOG_INFO, "two"));
    log_write(LOG_INFO, "two", "said\n%d", 5);
    assert_true(log_to_file(path, LOG_WARN, &err));
    log_write(LOG_INFO, "two", "held");
    assert_false(log_debug_only("(", &err));
    assert_true(log_to_file(NULL, LOG_DEBUG, &err));
    assert_false(log_enabled(LOG_WARN, "one"));
    assert_true(file_read(path, 4096, &text, &err));
    assert_non_null(strstr(text.text, " info  two: said\\x0a5\n"));
    assert_null(strstr(text.text, "held"));
    assert_false(log_to_file("/nonexistent/log", LOG_INFO, &err));
    assert_false(log_enabled(LOG_WARN, "one"));
    unlink(path);
}

/* VmRSS, RssFile... of this process in kB. */
static long
resident_kb(const char *field)
{
    AUTO(str) struct str text = STR_INIT;

    assert_true(file_read("/proc/self/status", 65536, &text, NULL));
    const char *found = strstr(text.text, field);
    assert_non_null(found);
    return strtol(found + strlen(field), NULL, 10);
}

static void
what_the_linker_wrote_outlives_shrinking(void **state)
{
    /* Pointers that are relocated at start, in memory that is read-only afterwards. */
    static const char *const words[] = {"one", "two", "three"};
    static const char *written = "before";
    long before = resident_kb("RssFile:");

    (void)state;
    written = "after";
    footprint_shrink();
    long after = resident_kb("RssFile:");
    footprint_shrink();
    assert_string_equal(words[0], "one");
    assert_string_equal(words[2], "three");
    assert_string_equal(written, "after");
    assert_true(after < before);
    assert_int_equal(strtol("17", NULL, 10), 17);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_wrap_puts_context_in_front),
        cmocka_unit_test(err_text_is_one_printable_line_however_long),
        cmocka_unit_test(str_grows_drops_and_gives_away),
        cmocka_unit_test(vec_keeps_what_is_pushed),
        cmocka_unit_test(table_finds_replaces_and_removes),
        cmocka_unit_test(intern_counts_references_and_reuses_ids),
        cmocka_unit_test(small_parsers_refuse_what_is_not_exact),
        cmocka_unit_test(small_parsers_read_what_people_write),
        cmocka_unit_test(file_is_replaced_whole),
        cmocka_unit_test(a_repeating_message_passes_once_a_period),
        cmocka_unit_test(the_log_goes_to_a_file_at_a_level_of_its_own),
        cmocka_unit_test(what_the_linker_wrote_outlives_shrinking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
