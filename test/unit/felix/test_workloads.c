/* felix/workloads: which addresses belong to which interface, over restarts. */
#include <dirent.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "felix/workloads.h"
#include "lib/base/file.h"
#include "test/unit/cmocka.h"

struct room {
    char dir[64];
    struct workloads *workloads;
    char told[4096]; /* "+cali1=10.0.0.1/32 " and "-cali1 " */
};

static void
on_put(void *owner, const struct workload *workload)
{
    struct room *room = owner;
    size_t len = strlen(room->told);

    len += (size_t)snprintf(room->told + len, sizeof room->told - len, "+%s=", workload->ifname);
    for (size_t i = 0; i < workload->n_ips; i++) {
        char text[PREFIX_TEXT_MAX];
        len += (size_t)snprintf(room->told + len, sizeof room->told - len, "%s%s", i ? "," : "",
                                prefix_format(&workload->ips[i], text));
    }
    snprintf(room->told + len, sizeof room->told - len, " ");
}

static void
on_removed(void *owner, const char *ifname)
{
    struct room *room = owner;
    size_t len = strlen(room->told);

    snprintf(room->told + len, sizeof room->told - len, "-%s ", ifname);
}

static void
open_room(struct room *room)
{
    const struct workloads_spec spec = {
        .dir = room->dir, .prefix = "cali", .put = on_put, .removed = on_removed, .owner = room};
    struct err err = ERR_INIT;

    room->told[0] = '\0';
    if (!workloads_new(&spec, &room->workloads, &err)) {
        fail_msg("%s", err.text);
    }
}

static void
restart(struct room *room)
{
    workloads_free(room->workloads);
    open_room(room);
}

static int
make_room(void **state)
{
    struct room *room = calloc(1, sizeof *room);

    snprintf(room->dir, sizeof room->dir, "/tmp/canal-unit-XXXXXX");
    assert_non_null(mkdtemp(room->dir));
    open_room(room);
    *state = room;
    return 0;
}

static size_t
n_files(const struct room *room)
{
    DIR *dir = opendir(room->dir);
    size_t n = 0;

    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        n += entry->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

static int
drop_room(void **state)
{
    struct room *room = *state;
    DIR *dir = opendir(room->dir);

    workloads_free(room->workloads);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", room->dir, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(room->dir);
    free(room);
    return 0;
}

static void
request(const char *op, const char *container, const char *ifname, const char *rest,
        struct proto_request *ret_request)
{
    char line[1024];
    struct err err = ERR_INIT;
    int len = snprintf(line, sizeof line,
                       "{\"op\":\"%s\",\"container_id\":\"%s\",\"ifname\":\"eth0\","
                       "\"host_ifname\":\"%s\"%s}",
                       op, container, ifname, rest);

    if (!proto_request_read(line, (size_t)len, ret_request, &err)) {
        fail_msg("%s", err.text);
    }
}

static void
add(struct room *room, const char *container, const char *ifname, const char *ip)
{
    struct proto_request item;
    struct err err = ERR_INIT;
    char rest[128];

    snprintf(rest, sizeof rest, ",\"ips\":[\"%s\"]", ip);
    request("pod_add", container, ifname, rest, &item);
    if (!workloads_add(room->workloads, &item, &err)) {
        fail_msg("%s", err.text);
    }
    proto_request_done(&item);
}

static void
begin_removal(struct room *room, const char *container, const char *ifname)
{
    struct proto_request item;

    request("pod_del", container, ifname, ",\"release\":[\"/var/lib/cni/networks/n/10.0.0.1\"]",
            &item);
    workloads_remove(room->workloads, &item);
    proto_request_done(&item);
}

static struct pod *
api_pod(const char *ip)
{
    char text[256];
    struct err err = ERR_INIT;

    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},"
             "\"spec\":{\"nodeName\":\"me\"},\"status\":{\"podIP\":\"%s\"}}",
             ip);
    struct json_object *json = json_tokener_parse(text);
    struct pod *pod = pod_decode(json, NULL, &err);
    json_object_put(json);
    assert_non_null(pod);
    return pod;
}

static void
host_names_are_those_of_calico(void **state)
{
    char ifname[16];

    (void)state;
    /* sha1("default.web") */
    workload_ifname("cali", "default", "web", ifname);
    assert_int_equal(strlen(ifname), 15);
    assert_int_equal(strncmp(ifname, "cali", 4), 0);
    workload_ifname("cali", "kube-system", "coredns-565d847f94-x2jqz", ifname);
    assert_string_equal(ifname, "cali1b329029d99");
}

static void
what_the_plugin_told_is_known_after_a_restart(void **state)
{
    struct room *room = *state;

    add(room, "aaa", "cali1", "10.0.0.1/32");
    add(room, "bbb", "cali2", "fd00::2/128");
    assert_string_equal(room->told, "+cali1=10.0.0.1/32 +cali2=fd00::2/128 ");
    restart(room);
    workloads_replay(room->workloads);
    assert_non_null(strstr(room->told, "+cali1=10.0.0.1/32 "));
    assert_non_null(strstr(room->told, "+cali2=fd00::2/128 "));
    assert_non_null(workloads_find(room->workloads, "aaa", "eth0"));
    assert_null(workloads_find(room->workloads, "aaa", "eth1"));
}

static void
count_removal(void *owner, const struct proto_request *removal)
{
    size_t *n = owner;

    assert_string_equal(removal->container_id, "aaa");
    assert_string_equal(removal->host_ifname, "cali1");
    assert_int_equal(removal->release.n, 1);
    (*n)++;
}

static void
a_removal_is_known_after_a_restart_until_it_is_done(void **state)
{
    struct room *room = *state;
    size_t n = 0;

    add(room, "aaa", "cali1", "10.0.0.1/32");
    begin_removal(room, "aaa", "cali1");
    assert_non_null(strstr(room->told, "-cali1 "));
    assert_null(workloads_find(room->workloads, "aaa", "eth0"));
    restart(room);
    workloads_replay(room->workloads);
    assert_string_equal(room->told, "");
    workloads_resume(room->workloads, count_removal, &n);
    assert_int_equal(n, 1);
    workloads_resume(room->workloads, count_removal, &n);
    assert_int_equal(n, 1);
    workloads_removed(room->workloads, "aaa", "eth0");
    assert_int_equal(n_files(room), 0);
}

static void
a_pod_that_comes_back_during_its_removal_keeps_its_file(void **state)
{
    struct room *room = *state;

    add(room, "aaa", "cali1", "10.0.0.1/32");
    begin_removal(room, "aaa", "cali1");
    add(room, "aaa", "cali1", "10.0.0.9/32");
    workloads_removed(room->workloads, "aaa", "eth0");
    restart(room);
    workloads_replay(room->workloads);
    assert_string_equal(room->told, "+cali1=10.0.0.9/32 ");
}

static void
a_new_sandbox_takes_the_interface_of_the_old_one(void **state)
{
    struct room *room = *state;

    add(room, "old", "cali1", "10.0.0.1/32");
    add(room, "new", "cali1", "10.0.0.2/32");
    assert_null(workloads_find(room->workloads, "old", "eth0"));
    assert_int_equal(n_files(room), 1);
    room->told[0] = '\0';
    /* The late DEL of the old one. */
    begin_removal(room, "old", "cali1");
    assert_string_equal(room->told, "");
    assert_non_null(workloads_find(room->workloads, "new", "eth0"));
}

static void
the_plugin_knows_better_than_the_pod_object(void **state)
{
    struct room *room = *state;
    struct pod *pod = api_pod("10.0.0.1");
    char ifname[16], expected[128];

    workload_ifname("cali", "default", "web", ifname);
    workloads_note_pod(room->workloads, NULL, pod);
    snprintf(expected, sizeof expected, "+%s=10.0.0.1/32 ", ifname);
    assert_string_equal(room->told, expected);
    room->told[0] = '\0';
    add(room, "aaa", ifname, "10.0.0.7/32");
    workloads_note_pod(room->workloads, pod, pod);
    assert_null(strstr(room->told, "10.0.0.1/32"));
    /* After DEL the object's addresses must not come back with the object's next change. */
    begin_removal(room, "aaa", ifname);
    snprintf(expected, sizeof expected, "-%s ", ifname);
    assert_non_null(strstr(room->told, expected));
    workloads_note_pod(room->workloads, pod, NULL);
    pod_free(pod);
}

static void
an_address_given_to_the_next_pod_is_not_taken_back_by_an_old_object(void **state)
{
    struct room *room = *state;
    struct pod *pod = api_pod("10.0.0.1");

    add(room, "next", "cali-next", "10.0.0.1/32");
    room->told[0] = '\0';
    workloads_note_pod(room->workloads, NULL, pod);
    assert_null(strstr(room->told, "10.0.0.1/32"));
    pod_free(pod);
}

static void
bad_files_are_left_alone(void **state)
{
    struct room *room = *state;
    char path[128];

    static const char *const names[] = {"junk", "empty", "half"};
    static const char *const texts[] = {"\x01\x02", "", "{\"op\":\"pod_add\",\"container"};
    add(room, "aaa", "cali1", "10.0.0.1/32");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", room->dir, names[i]);
        assert_true(file_write_atomic(path, texts[i], strlen(texts[i]), 0600, NULL));
    }
    restart(room);
    workloads_replay(room->workloads);
    assert_string_equal(room->told, "+cali1=10.0.0.1/32 ");
    assert_int_equal(n_files(room), 4);
}

static void
what_is_not_a_workload_interface_is_refused(void **state)
{
    struct room *room = *state;
    struct proto_request item;
    struct err err = ERR_INIT;

    request("pod_add", "aaa", "eth0", ",\"ips\":[\"10.0.0.1/32\"]", &item);
    assert_false(workloads_add(room->workloads, &item, &err));
    assert_non_null(strstr(err.text, "eth0"));
    proto_request_done(&item);
    assert_int_equal(n_files(room), 0);
}

#define ROOM_TEST(name) cmocka_unit_test_setup_teardown(name, make_room, drop_room)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_names_are_those_of_calico),
        ROOM_TEST(what_the_plugin_told_is_known_after_a_restart),
        ROOM_TEST(a_removal_is_known_after_a_restart_until_it_is_done),
        ROOM_TEST(a_pod_that_comes_back_during_its_removal_keeps_its_file),
        ROOM_TEST(a_new_sandbox_takes_the_interface_of_the_old_one),
        ROOM_TEST(the_plugin_knows_better_than_the_pod_object),
        ROOM_TEST(an_address_given_to_the_next_pod_is_not_taken_back_by_an_old_object),
        ROOM_TEST(bad_files_are_left_alone),
        ROOM_TEST(what_is_not_a_workload_interface_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
