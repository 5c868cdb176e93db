/* kubeconfig files (through libfyaml, which reads JSON ones too) and the in-cluster service
 * account. Called once at start, by kube_new(). */
#include "lib/kube/config.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define KUBECONFIG_MAX ((size_t)1024 * 1024)

void
kube_config_done(struct kube_config *config)
{
    char *const texts[] = {config->server,     config->ca_pem,          config->ca_file,
                           config->cert_pem,   config->cert_file,       config->key_file,
                           config->token_file, config->tls_server_name, config->proxy_url};
    char *const secrets[] = {config->key_pem, config->token};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        if (secrets[i]) {
            explicit_bzero(secrets[i], strlen(secrets[i]));
        }
        free(secrets[i]);
    }
    *config = (struct kube_config){0};
}

static int
base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

bool
kube_base64_decode(const char *text, size_t len, char **ret_data, size_t *ret_len)
{
    char *data = xmalloc(len / 4 * 3 + 4);
    size_t n_out = 0;
    size_t n_digits = 0;
    size_t n_padding = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || text[i] == '\r' || text[i] == ' ' || text[i] == '\t') {
            continue;
        }
        int value = text[i] == '=' ? 0 : base64_value(text[i]);
        if (value < 0 || (n_padding > 0 && text[i] != '=')) {
            free(data);
            return false;
        }
        n_padding += text[i] == '=';
        bits = bits << 6 | (uint32_t)value;
        if (++n_digits % 4 == 0) {
            data[n_out++] = (char)(bits >> 16);
            data[n_out++] = (char)(bits >> 8);
            data[n_out++] = (char)bits;
        }
    }
    if (n_digits % 4 != 0 || n_padding > 2) {
        free(data);
        return false;
    }
    n_out -= n_padding;
    data[n_out] = '\0';
    *ret_data = data;
    *ret_len = n_out;
    return true;
}

/* ---- YAML ---------------------------------------------------------------------------------------
 */

static struct fy_node *
lookup(struct fy_node *map, const char *key)
{
    return fy_node_mapping_lookup_value_by_simple_key(map, key, strlen(key));
}

/* Absent and null: true with *ret_text NULL. */
static bool
get_text(struct fy_node *map, const char *key, char **ret_text, struct err *err)
{
    struct fy_node *node = map ? lookup(map, key) : NULL;
    size_t len = 0;

    if (!node || fy_node_is_null(node)) {
        return true;
    }
    const char *text = fy_node_is_scalar(node) ? fy_node_get_scalar(node, &len) : NULL;
    if (!text || memchr(text, '\0', len)) {
        return err_set(err, "%s: a plain text is wanted", key);
    }
    if (len > 0) {
        free(*ret_text);
        *ret_text = xstrndup(text, len);
    }
    return true;
}

static struct fy_node *
get_map(struct fy_node *map, const char *key)
{
    struct fy_node *node = map ? lookup(map, key) : NULL;

    return node && fy_node_is_mapping(node) ? node : NULL;
}

static bool
has(struct fy_node *map, const char *key)
{
    struct fy_node *node = map ? lookup(map, key) : NULL;

    return node && !fy_node_is_null(node);
}

/* Of the list 'list', the element named 'name': its member 'what'. */
static bool
find_named(struct fy_node *root, const char *list, const char *name, const char *what,
           struct fy_node **ret_map, struct err *err)
{
    struct fy_node *sequence = lookup(root, list);
    void *iterator = NULL;

    while (sequence && fy_node_is_sequence(sequence)) {
        struct fy_node *item = fy_node_sequence_iterate(sequence, &iterator);
        if (!item) {
            break;
        }
        AUTO_FREE char *found = NULL;
        if (!fy_node_is_mapping(item) || !get_text(item, "name", &found, NULL) || !found ||
            strcmp(found, name) != 0) {
            continue;
        }
        *ret_map = get_map(item, what);
        return *ret_map || err_set(err, "%s[%.64s].%s: is missing", list, name, what);
    }
    return err_set(err, "%s: there is none named '%.64s'", list, name);
}

static bool
get_base64(struct fy_node *map, const char *key, char **ret_pem, struct err *err)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;

    if (!get_text(map, key, &text, err)) {
        return false;
    }
    if (!text) {
        return true;
    }
    if (!kube_base64_decode(text, strlen(text), ret_pem, &len) || strlen(*ret_pem) != len) {
        return err_set(err, "%s: is not base64 of a PEM text", key);
    }
    return true;
}

static bool
get_file(struct fy_node *map, const char *key, const char *dir, char **ret_path, struct err *err)
{
    AUTO_FREE char *name = NULL;
    AUTO(str) struct str path = STR_INIT;

    if (!get_text(map, key, &name, err)) {
        return false;
    }
    if (name) {
        if (name[0] != '/') {
            str_addf(&path, "%s/", dir);
        }
        str_add(&path, name);
        *ret_path = str_steal(&path);
    }
    return true;
}

static bool
read_cluster(struct fy_node *map, const char *dir, struct kube_config *config, struct err *err)
{
    AUTO_FREE char *insecure = NULL;

    if (!get_text(map, "server", &config->server, err) ||
        !get_base64(map, "certificate-authority-data", &config->ca_pem, err) ||
        !get_file(map, "certificate-authority", dir, &config->ca_file, err) ||
        !get_text(map, "tls-server-name", &config->tls_server_name, err) ||
        !get_text(map, "proxy-url", &config->proxy_url, err) ||
        !get_text(map, "insecure-skip-tls-verify", &insecure, err)) {
        return false;
    }
    if (!config->server) {
        return err_set(err, "server: is missing");
    }
    if (insecure && strcmp(insecure, "true") != 0 && strcmp(insecure, "false") != 0) {
        return err_set(err, "insecure-skip-tls-verify: is neither true nor false");
    }
    config->is_insecure = insecure && strcmp(insecure, "true") == 0;
    if (config->is_insecure && (config->ca_pem || config->ca_file)) {
        return err_set(err, "insecure-skip-tls-verify: contradicts certificate-authority");
    }
    return true;
}

static bool
read_user(struct fy_node *map, const char *dir, struct kube_config *config, struct err *err)
{
    static const struct {
        const char *key;
        const char *reason;
    } refused[] = {
        {"exec", "plugins are not run here; use a token, a tokenFile or a client certificate"},
        {"auth-provider", "plugins are not run here; use a token, a tokenFile or a certificate"},
        {"username", "user name and password are not supported; use a token"},
        {"password", "user name and password are not supported; use a token"},
        {"as", "impersonation is not supported"},
        {"as-groups", "impersonation is not supported"},
        {"as-uid", "impersonation is not supported"},
        {"as-user-extra", "impersonation is not supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (has(map, refused[i].key)) {
            return err_set(err, "%s: %s", refused[i].key, refused[i].reason);
        }
    }
    if (!get_base64(map, "client-certificate-data", &config->cert_pem, err) ||
        !get_base64(map, "client-key-data", &config->key_pem, err) ||
        !get_file(map, "client-certificate", dir, &config->cert_file, err) ||
        !get_file(map, "client-key", dir, &config->key_file, err) ||
        !get_text(map, "token", &config->token, err) ||
        !get_file(map, "tokenFile", dir, &config->token_file, err)) {
        return false;
    }
    bool has_cert = config->cert_pem || config->cert_file;
    bool has_key = config->key_pem || config->key_file;
    if (has_cert != has_key) {
        return err_set(err, "a client certificate needs both client-certificate and client-key");
    }
    return true;
}

static bool
check_server(char *server, struct err *err)
{
    size_t len = strlen(server);

    while (len > 0 && server[len - 1] == '/') {
        server[--len] = '\0';
    }
    if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0) {
        return err_set(err, "server: '%.64s' is no http:// or https:// address", server);
    }
    /* User name and password in the address would end up in logs. */
    if (strpbrk(server, "@ \t\r\n?#\"\\")) {
        return err_set(err, "server: has a character that an address may not have");
    }
    return true;
}

static bool
parse_root(struct fy_node *root, const char *dir, struct kube_config *config, struct err *err)
{
    AUTO_FREE char *context_name = NULL;
    AUTO_FREE char *cluster_name = NULL;
    AUTO_FREE char *user_name = NULL;
    struct fy_node *context = NULL;
    struct fy_node *cluster = NULL;
    struct fy_node *user = NULL;

    if (!root || !fy_node_is_mapping(root)) {
        return err_set(err, "not a mapping");
    }
    if (!get_text(root, "current-context", &context_name, err)) {
        return false;
    }
    if (!context_name) {
        return err_set(err, "current-context: is missing");
    }
    if (!find_named(root, "contexts", context_name, "context", &context, err) ||
        !get_text(context, "cluster", &cluster_name, err) ||
        !get_text(context, "user", &user_name, err)) {
        return false;
    }
    if (!cluster_name) {
        return err_set(err, "contexts[%.64s].context.cluster: is missing", context_name);
    }
    if (!find_named(root, "clusters", cluster_name, "cluster", &cluster, err)) {
        return false;
    }
    if (!read_cluster(cluster, dir, config, err) || !check_server(config->server, err)) {
        return err_wrap(err, "clusters[%.64s].cluster", cluster_name);
    }
    if (!user_name) {
        return true;
    }
    if (!find_named(root, "users", user_name, "user", &user, err)) {
        return false;
    }
    return read_user(user, dir, config, err) || err_wrap(err, "users[%.64s].user", user_name);
}

/* Bytes of the UTF-8 character at 'text'; 0 when it is none, or a control character. */
static size_t
character_len(const unsigned char *text, size_t room)
{
    if (text[0] < 0x80) {
        return text[0] >= 0x20 || strchr("\t\r\n", text[0]) ? text[0] != 0 && text[0] != 0x7f : 0;
    }
    size_t len = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4 || len > room) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

/* libfyaml never comes back from a %directive with a byte that is no UTF-8: such text, and
 * directives, which no kubeconfig has, do not reach it. */
static bool
check_text(const char *text, size_t len, struct err *err)
{
    bool is_line_start = true;

    if (len == 0 || len > KUBECONFIG_MAX) {
        return err_set(err, "is empty or too big");
    }
    for (size_t i = 0; i < len;) {
        size_t n = character_len((const unsigned char *)text + i, len - i);
        if (n == 0 || (is_line_start && text[i] == '%')) {
            return err_set(err, "not YAML: byte %zu is not text", i);
        }
        is_line_start = text[i] == '\n' || text[i] == '\r';
        i += n;
    }
    return true;
}

static void
say_nothing(struct fy_diag *diag, void *user, const char *text, size_t len)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)len;
}

bool
kube_config_parse(const char *text, size_t len, const char *dir, struct kube_config *ret_config,
                  struct err *err)
{
    /* The library's own messages quote the line, and with it the token; FYPCF_QUIET alone does not
     * silence them all. */
    const struct fy_diag_cfg silence = {.output_fn = say_nothing, .level = FYET_ERROR};
    struct fy_diag *diag = fy_diag_create(&silence);
    const struct fy_parse_cfg quiet = {.flags = FYPCF_QUIET, .diag = diag};
    struct kube_config config = {0};
    struct err reason = ERR_INIT;

    bool good = check_text(text, len, &reason);
    if (good) {
        struct fy_document *document = fy_document_build_from_string(&quiet, text, len);
        good = document ? parse_root(fy_document_root(document), dir, &config, &reason)
                        : err_set(&reason, "not YAML");
        fy_document_destroy(document);
    }
    fy_diag_destroy(diag);
    if (!good) {
        kube_config_done(&config);
        return err_set(err, "%s", reason.text);
    }
    *ret_config = config;
    return true;
}

/* ---- files --------------------------------------------------------------------------------------
 */

static bool
load_file(const char *path, struct kube_config *ret_config, struct err *err)
{
    AUTO(str) struct str text = STR_INIT;
    AUTO_FREE char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');

    if (!file_read(path, KUBECONFIG_MAX, &text, err)) {
        return err_wrap(err, "kubeconfig");
    }
    if (slash) {
        *slash = '\0';
    }
    bool good = kube_config_parse(text.text, text.len, slash ? dir : ".", ret_config, err);
    explicit_bzero(text.text, text.len);
    return good || err_wrap(err, "kubeconfig %s", path);
}

bool
kube_config_in_cluster(const char *dir, struct kube_config *ret_config, struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    AUTO(str) struct str server = STR_INIT;
    AUTO(str) struct str token_file = STR_INIT;
    AUTO(str) struct str ca_file = STR_INIT;

    if (!host || !port || host[0] == '\0' || port[0] == '\0') {
        return err_set(err, "no kubeconfig given, and KUBERNETES_SERVICE_HOST and _PORT are not "
                            "set: this is not inside a cluster");
    }
    if (strchr(host, ':')) {
        str_addf(&server, "https://[%s]:%s", host, port);
    } else {
        str_addf(&server, "https://%s:%s", host, port);
    }
    str_addf(&token_file, "%s/token", dir);
    str_addf(&ca_file, "%s/ca.crt", dir);
    if (!check_server(server.text, err)) {
        return err_wrap(err, "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT");
    }
    if (access(token_file.text, R_OK) != 0) {
        return err_sys(err, errno, "service account token %s", token_file.text);
    }
    if (access(ca_file.text, R_OK) != 0) {
        return err_sys(err, errno, "service account CA %s", ca_file.text);
    }
    *ret_config = (struct kube_config){
        .server = str_steal(&server),
        .token_file = str_steal(&token_file),
        .ca_file = str_steal(&ca_file),
    };
    return true;
}

bool
kube_config_load(const char *kubeconfig, struct kube_config *ret_config, struct err *err)
{
    if (!kubeconfig || kubeconfig[0] == '\0') {
        kubeconfig = getenv("KUBECONFIG");
    }
    if (kubeconfig && kubeconfig[0] != '\0') {
        return load_file(kubeconfig, ret_config, err);
    }
    return kube_config_in_cluster(SERVICE_ACCOUNT_DIR, ret_config, err);
}
