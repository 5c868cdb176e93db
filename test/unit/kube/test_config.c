/* lib/kube/config: what a kubeconfig gives and why one is refused. */
#include <string.h>

#include "lib/base/own.h"
#include "lib/kube/config.h"
#include "test/unit/cmocka.h"

#define HEAD               \
    "current-context: c\n" \
    "contexts: [{name: c, context: {cluster: k, user: u}}]\n"

static void
config_reads_cluster_and_user_of_the_current_context(void **state)
{
    static const char text[] =
        HEAD "clusters:\n- {name: other, cluster: {server: 'https://no'}}\n"
             "- {name: k, cluster: {server: 'https://h:6443/', certificate-authority-data: QUJD}}\n"
             "users: [{name: u, user: {tokenFile: sub/token, client-key-data: S0VZ,"
             " client-certificate: /abs/crt}}]\n";
    AUTO(kube_config) struct kube_config config = {0};
    struct err err = ERR_INIT;

    (void)state;
    if (!kube_config_parse(text, strlen(text), "/dir", &config, &err)) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(config.server, "https://h:6443");
    assert_string_equal(config.ca_pem, "ABC");
    assert_string_equal(config.token_file, "/dir/sub/token");
    assert_string_equal(config.key_pem, "KEY");
    assert_string_equal(config.cert_file, "/abs/crt");
    assert_false(config.is_insecure);
}

static void
config_refuses_with_a_reason_and_without_secrets(void **state)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"", "is empty"},
        {"a: [", "not YAML"},
        {"%YAML 1.2\n", "not text"},
        {"a: b\n", "current-context: is missing"},
        {HEAD, "clusters: there is none named 'k'"},
        {HEAD "clusters: [{name: k, cluster: {server: 'ftp://x'}}]\n", "no http:// or https://"},
        {HEAD "clusters: [{name: k, cluster: {server: 'https://u:secret@x'}}]\n", "character"},
        {HEAD "clusters: [{name: k, cluster: {server: 'https://x'}}]\n"
              "users: [{name: u, user: {exec: {command: aws}}}]\n",
         "users[u].user: exec: plugins are not run here"},
        {HEAD "clusters: [{name: k, cluster: {server: 'https://x'}}]\n"
              "users: [{name: u, user: {username: a, password: secret}}]\n",
         "user name and password"},
        {HEAD "clusters: [{name: k, cluster: {server: 'https://x'}}]\n"
              "users: [{name: u, user: {client-key-data: '*secret*', client-certificate: a}}]\n",
         "client-key-data: is not base64"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct kube_config config = {0};
        struct err err = ERR_INIT;
        assert_false(kube_config_parse(rows[i].text, strlen(rows[i].text), "/dir", &config, &err));
        if (!strstr(err.text, rows[i].reason) || strstr(err.text, "secret")) {
            fail_msg("row %zu: %s", i, err.text);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_reads_cluster_and_user_of_the_current_context),
        cmocka_unit_test(config_refuses_with_a_reason_and_without_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
