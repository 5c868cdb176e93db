/* felix/floating: who of those that ask for an address has it. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/floating.h"
#include "felix/workloads.h"
#include "lib/base/str.h"
#include "lib/model/kind.h"
#include "test/unit/cmocka.h"

#define NODE "n1"
#define FLOATS(list) "\"cni.projectcalico.org/floatingIPs\":\"" list "\""

struct scene {
    struct floating *floating;
    struct pod *pods[4]; /* noted last, by number */
    bool is_used;        /* every address is a node's */
};

static int
make_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);

    scene->floating = floating_new("cali", NODE);
    *state = scene;
    return 0;
}

static int
drop_scene(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < ARRAY_LEN(scene->pods); i++) {
        pod_free(scene->pods[i]);
    }
    floating_free(scene->floating);
    free(scene);
    return 0;
}

/* Pod x/p<number>; 'status' as in JSON, 'annotations' NULL: it goes. */
static bool
note(struct scene *scene, size_t number, const char *node, const char *annotations,
     const char *status)
{
    struct pod *was = scene->pods[number], *now = NULL;
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    if (annotations) {
        str_addf(&text,
                 "{\"metadata\":{\"name\":\"p%zu\",\"namespace\":\"x\",\"annotations\":{%s}},"
                 "\"spec\":{\"nodeName\":\"%s\"},\"status\":{%s}}",
                 number, annotations, node, status);
        struct json_object *json = json_tokener_parse(text.text);
        assert_non_null(json);
        now = kind_ops(KIND_POD)->decode(json, NULL, &err);
        json_object_put(json);
        assert_non_null(now);
    }
    bool is_changed = floating_note_pod(scene->floating, was, now);
    scene->pods[number] = now;
    pod_free(was);
    return is_changed;
}

#define RUNS(ip) "\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"" ip "\"}]"

static const char *
use(void *owner, const struct ip *ip)
{
    const struct scene *scene = owner;

    (void)ip;
    return scene->is_used ? "a node's" : NULL;
}

/* "10.9.0.1>p0 …": what pods of this node have. */
static void
has(struct scene *scene, const char *expected)
{
    AUTO(str) struct str text = STR_INIT;
    floating_vec list = VEC_INIT;

    floating_list(scene->floating, use, scene, &list);
    VEC_FOREACH (&list, address) {
        char ip[IP_TEXT_MAX], name[8], ifname[16];
        for (size_t i = 0; i < ARRAY_LEN(scene->pods); i++) {
            snprintf(name, sizeof name, "p%zu", i);
            workload_ifname("cali", "x", name, ifname);
            if (strcmp(ifname, address->ifname) == 0) {
                str_addf(&text, "%s%s>%s", text.len > 0 ? " " : "", ip_format(&address->ip, ip),
                         name);
            }
        }
    }
    assert_string_equal(str_text(&text), expected);
    VEC_DONE(&list);
}

static const char *
pod_with(const struct scene *scene, const char *text)
{
    struct ip ip;

    assert_true(ip_parse(text, &ip, NULL));
    const char *pod = floating_pod(scene->floating, &ip);
    return pod ? pod : "";
}

static void
nobody_asks_nothing_is_there(void **state)
{
    struct scene *scene = *state;

    assert_false(note(scene, 0, NODE, "", RUNS("10.0.0.1")));
    assert_false(note(scene, 0, NODE, NULL, NULL));
    assert_false(floating_is_asked_for(scene->floating));
    has(scene, "");
    assert_string_equal(pod_with(scene, "10.9.0.1"), "");
}

static void
a_pod_has_what_it_asks_for_of_families_it_has(void **state)
{
    struct scene *scene = *state;
    const char *both = FLOATS("[\\\"fd00::9\\\",\\\"10.9.0.2\\\",\\\"10.9.0.1\\\","
                              "\\\"10.9.0.2\\\",\\\"127.0.0.1\\\",\\\"169.254.1.1\\\"]");

    assert_true(note(scene, 0, NODE, both, "\"phase\":\"Pending\""));
    has(scene, "");
    assert_true(note(scene, 0, NODE, both, RUNS("10.0.0.1")));
    assert_true(floating_is_asked_for(scene->floating));
    has(scene, "10.9.0.1>p0 10.9.0.2>p0");
    assert_false(note(scene, 0, NODE, both, RUNS("10.0.0.1")));
    assert_true(note(scene, 0, NODE, both, RUNS("10.0.0.1\"},{\"ip\":\"fd00::1")));
    has(scene, "10.9.0.1>p0 10.9.0.2>p0 fd00::9>p0");
    assert_string_equal(pod_with(scene, "fd00::9"), "x/p0");
    assert_string_equal(pod_with(scene, "127.0.0.1"), "");
    scene->is_used = true;
    has(scene, "");
    scene->is_used = false;
    assert_true(note(scene, 0, NODE, both, "\"phase\":\"Succeeded\""));
    has(scene, "");
    assert_false(floating_is_asked_for(scene->floating));
}

static void
of_several_pods_the_first_by_name_has_it(void **state)
{
    struct scene *scene = *state;
    const char *one = FLOATS("[\\\"10.9.0.1\\\"]");

    assert_true(note(scene, 2, NODE, one, RUNS("10.0.0.2")));
    has(scene, "10.9.0.1>p2");
    assert_true(note(scene, 1, NODE, one, RUNS("10.0.0.1")));
    has(scene, "10.9.0.1>p1");
    assert_true(note(scene, 3, NODE, one, RUNS("10.0.0.3")));
    has(scene, "10.9.0.1>p1");
    assert_true(note(scene, 0, "n2", one, RUNS("10.0.1.1")));
    has(scene, "");
    assert_string_equal(pod_with(scene, "10.9.0.1"), "x/p0");
    assert_true(note(scene, 0, "n2", NULL, NULL));
    has(scene, "10.9.0.1>p1");
    assert_true(note(scene, 1, NODE, "", RUNS("10.0.0.1")));
    has(scene, "10.9.0.1>p2");
    assert_string_equal(pod_with(scene, "10.9.0.1"), "x/p2");
}

static void
a_pod_whose_own_address_is_asked_for_is_noticed(void **state)
{
    struct scene *scene = *state;

    assert_true(note(scene, 0, NODE, FLOATS("[\\\"10.9.0.1\\\"]"), RUNS("10.0.0.1")));
    assert_false(note(scene, 1, "n2", "", RUNS("10.0.1.1")));
    assert_true(note(scene, 2, "n2", "", RUNS("10.9.0.1")));
    assert_true(note(scene, 2, "n2", NULL, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_asks_nothing_is_there, make_scene, drop_scene),
        cmocka_unit_test_setup_teardown(a_pod_has_what_it_asks_for_of_families_it_has, make_scene,
                                        drop_scene),
        cmocka_unit_test_setup_teardown(of_several_pods_the_first_by_name_has_it, make_scene,
                                        drop_scene),
        cmocka_unit_test_setup_teardown(a_pod_whose_own_address_is_asked_for_is_noticed, make_scene,
                                        drop_scene),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
