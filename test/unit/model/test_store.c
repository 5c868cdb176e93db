/* lib/model/store with text objects: what is kept, found, reported and swept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/model/store.h"
#include "test/unit/cmocka.h"

static bool
text_equal(const void *a, const void *b)
{
    return strcmp(a, b) == 0;
}

/* Stands in for lib/model/kind.c: the objects here are texts. */
const struct kind_ops *
kind_ops(enum kind kind)
{
    static const struct kind_ops ops = {.name = "Text", .free = free, .equal = text_equal};

    (void)kind;
    return &ops;
}

static void
on_change(void *owner, const struct change *change)
{
    str_addf(owner, "%s:%s>%s ", change->key, change->was ? (const char *)change->was : "-",
             change->now ? (const char *)change->now : "-");
}

static void
store_reports_what_changed_and_nothing_else(void **state)
{
    AUTO(str) struct str seen = STR_INIT;
    struct store *store = store_new(on_change, &seen);

    (void)state;
    assert_true(store_put(store, KIND_NODE, "a", xstrdup("1")));
    assert_false(store_put(store, KIND_NODE, "a", xstrdup("1")));
    assert_true(store_put(store, KIND_NODE, "a", xstrdup("2")));
    assert_true(store_put(store, KIND_POD, "a", xstrdup("pod")));
    assert_true(store_delete(store, KIND_NODE, "a"));
    assert_false(store_delete(store, KIND_NODE, "a"));
    assert_string_equal(seen.text, "a:->1 a:1>2 a:->pod a:2>- ");
    assert_string_equal(store_get(store, KIND_POD, "a"), "pod");
    assert_null(store_get(store, KIND_NODE, "a"));
    store_free(store);
}

static void
store_sweep_deletes_what_has_another_mark(void **state)
{
    AUTO(str) struct str seen = STR_INIT;
    struct store *store = store_new(NULL, NULL);
    char key[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store_put(store, KIND_POD, key, xstrdup(key));
        store_stamp(store, KIND_POD, key, (uint64_t)i, i % 3 == 0 ? 2 : 1);
    }
    store_stamp(store, KIND_POD, "absent", 1, 1);
    assert_int_equal(store_version(store, KIND_POD, "k42"), 42);
    assert_int_equal(store_version(store, KIND_POD, "absent"), 0);
    assert_int_equal(store_sweep(store, KIND_POD, 2), 66);
    assert_int_equal(store_count(store, KIND_POD), 34);
    for (size_t i = 0; i < store_count(store, KIND_POD); i++) {
        assert_string_equal(store_at(store, KIND_POD, i), store_key_at(store, KIND_POD, i));
        assert_int_equal(atoi(store_key_at(store, KIND_POD, i) + 1) % 3, 0);
    }
    store_free(store);
}

/* Compared with a plain array through many random puts and deletes. */
static void
store_finds_every_key_through_random_changes(void **state)
{
    struct store *store = store_new(NULL, NULL);
    bool is_there[512] = {false};
    size_t n = 0;
    uint32_t random = 1;
    char key[16];

    (void)state;
    for (int step = 0; step < 50000; step++) {
        random = random * 1664525 + 1013904223;
        size_t i = (random >> 8) % ARRAY_LEN(is_there);
        snprintf(key, sizeof key, "key-%zu", i);
        if ((random >> 24) % 2) {
            assert_true(store_put(store, KIND_NODE, key, xstrdup(key)) == !is_there[i]);
            n += !is_there[i];
            is_there[i] = true;
        } else {
            assert_true(store_delete(store, KIND_NODE, key) == is_there[i]);
            n -= is_there[i];
            is_there[i] = false;
        }
        assert_int_equal(store_count(store, KIND_NODE), n);
    }
    for (size_t i = 0; i < ARRAY_LEN(is_there); i++) {
        snprintf(key, sizeof key, "key-%zu", i);
        const char *found = store_get(store, KIND_NODE, key);
        assert_true((found != NULL) == is_there[i]);
        assert_true(!found || strcmp(found, key) == 0);
    }
    store_free(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_reports_what_changed_and_nothing_else),
        cmocka_unit_test(store_sweep_deletes_what_has_another_mark),
        cmocka_unit_test(store_finds_every_key_through_random_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
