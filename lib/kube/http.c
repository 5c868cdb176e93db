/* One request on an easy handle. Called by call.c and watch.c. Everything that makes a connection
 * ours is set here: CA, certificates, token, keepalive. */
#include "lib/kube/http.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"

#define ERROR_BODY_MAX ((size_t)16 * 1024)

struct kube_request {
    struct kube *kube;
    struct kube_request_spec spec; /* texts in it are not ours and not used after the start */
    struct http_transfer *transfer;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct str error_body;
    bool is_cancelled;
    bool has_refused; /* data() said stop */
    char error[CURL_ERROR_SIZE];
};

static void
request_free(struct kube_request *request)
{
    /* The list has the token in it. */
    for (struct curl_slist *header = request->headers; header; header = header->next) {
        explicit_bzero(header->data, strlen(header->data));
    }
    curl_slist_free_all(request->headers);
    curl_slist_free_all(request->connect_to);
    str_done(&request->error_body);
    free(request);
}

static long
status_of(const struct kube_request *request)
{
    long status = 0;

    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t
on_data(char *bytes, size_t size, size_t n, void *owner)
{
    struct kube_request *request = owner;
    size_t len = size * n;

    if (request->is_cancelled) {
        return 0;
    }
    request->kube->last_answer_ms = clock_monotonic_ms();
    long status = status_of(request);
    if (status < 200 || status > 299) {
        size_t room = ERROR_BODY_MAX - request->error_body.len;
        str_add_bytes(&request->error_body, bytes, len < room ? len : room);
        return len;
    }
    if (!request->spec.data(request->spec.owner, bytes, len)) {
        request->has_refused = true;
        return 0;
    }
    return len;
}

/* A watch may have no body for minutes: its headers are an answer too. */
static size_t
on_header(char *bytes, size_t size, size_t n, void *owner)
{
    struct kube_request *request = owner;

    (void)bytes;
    if (!request->is_cancelled) {
        request->kube->last_answer_ms = clock_monotonic_ms();
    }
    return size * n;
}

static void
on_done(void *owner, CURL *easy, CURLcode result)
{
    struct kube_request *request = owner;
    struct kube_answer answer = {.body = str_text(&request->error_body)};
    curl_off_t retry_after_s = 0;

    if (request->is_cancelled) {
        request_free(request);
        return;
    }
    answer.status = (int)status_of(request);
    answer.is_complete = result == CURLE_OK;
    answer.is_timeout = result == CURLE_OPERATION_TIMEDOUT;
    if (answer.status > 0) {
        request->kube->last_answer_ms = clock_monotonic_ms();
    }
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
        retry_after_s > 0) {
        answer.retry_after_ms = retry_after_s < 86400 ? (uint64_t)retry_after_s * 1000 : 86400000;
    }
    if (result != CURLE_OK && !request->has_refused) {
        (void)err_set(&answer.err, "%s",
                      request->error[0] ? request->error : curl_easy_strerror(result));
    } else if (answer.status < 200 || answer.status > 299) {
        (void)err_set(&answer.err, "HTTP status %d", answer.status);
    }
    request->spec.done(request->spec.owner, &answer);
    request_free(request);
}

/* A peer that vanished without a word is noticed by probes when we are waiting, and by the missing
 * acknowledgement when we are sending. */
static int
on_socket_made(void *owner, curl_socket_t fd, curlsocktype purpose)
{
    unsigned timeout_ms = 30000;

    (void)owner;
    if (purpose == CURLSOCKTYPE_IPCXN) {
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    }
    return CURL_SOCKOPT_OK;
}

static void
set_blob(CURL *easy, CURLoption option, char *pem)
{
    struct curl_blob blob = {.data = pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};

    curl_easy_setopt(easy, option, &blob);
}

static void
set_tls(CURL *easy, const struct kube_config *config)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, config->is_insecure ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, config->is_insecure ? 0L : 2L);
    if (config->ca_pem || config->ca_file) {
        /* Only this CA: the system's directory would be trusted beside it. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (config->ca_pem) {
        set_blob(easy, CURLOPT_CAINFO_BLOB, config->ca_pem);
    } else if (config->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file);
    }
    if (config->cert_pem) {
        set_blob(easy, CURLOPT_SSLCERT_BLOB, config->cert_pem);
    } else if (config->cert_file) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, config->cert_file);
    }
    if (config->key_pem) {
        set_blob(easy, CURLOPT_SSLKEY_BLOB, config->key_pem);
    } else if (config->key_file) {
        curl_easy_setopt(easy, CURLOPT_SSLKEY, config->key_file);
    }
}

static void
set_connection(struct kube_request *request, CURL *easy)
{
    const struct kube_timing *timing = &request->kube->timing;

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Wait for a connection that may turn out to carry many streams, rather than open one each. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, request->spec.is_fresh ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->spec.is_fresh ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timing->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->spec.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 20L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
    if (request->kube->config.proxy_url) {
        curl_easy_setopt(easy, CURLOPT_PROXY, request->kube->config.proxy_url);
    }
    set_tls(easy, &request->kube->config);
}

/* With tls-server-name the URL has that name, for SNI and verification, and the connection goes to
 * the real address. */
static void
set_url(struct kube_request *request, CURL *easy)
{
    const struct kube_config *config = &request->kube->config;
    AUTO(str) struct str url = STR_INIT;
    const char *host = strstr(config->server, "://") + 3;

    if (!config->tls_server_name) {
        str_addf(&url, "%s%s", config->server, request->spec.path);
    } else {
        AUTO(str) struct str connect_to = STR_INIT;
        const char *bracket = strchr(host, ']');
        const char *port = strchr(bracket ? bracket : host, ':');
        const char *path = strchr(host, '/');
        size_t host_len = strcspn(host, "/");
        str_addf(&url, "https://%s%.*s%s%s", config->tls_server_name,
                 port ? (int)strcspn(port, "/") : 0, port ? port : "", path ? path : "",
                 request->spec.path);
        str_addf(&connect_to, "::%.*s%s", (int)host_len, host, port ? "" : ":443");
        request->connect_to = curl_slist_append(NULL, connect_to.text);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, request->connect_to);
    }
    curl_easy_setopt(easy, CURLOPT_URL, url.text);
}

static void
add_header(struct kube_request *request, const char *name, const char *value)
{
    AUTO(str) struct str line = STR_INIT;

    str_addf(&line, "%s: %s", name, value);
    request->headers = curl_slist_append(request->headers, line.text);
    explicit_bzero(line.text, line.len);
}

static void
set_request(struct kube_request *request, CURL *easy)
{
    const struct kube_request_spec *spec = &request->spec;

    add_header(request, "Accept", "application/json");
    add_header(request, "User-Agent", "canal");
    kube_refresh_token(request->kube, false);
    if (request->kube->token.len > 0) {
        AUTO(str) struct str bearer = STR_INIT;
        str_addf(&bearer, "Bearer %s", request->kube->token.text);
        add_header(request, "Authorization", bearer.text);
        explicit_bzero(bearer.text, bearer.len);
    }
    if (spec->body) {
        add_header(request, "Content-Type", spec->content_type);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(spec->body));
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, spec->body);
        /* No "Expect: 100-continue" round trip. */
        request->headers = curl_slist_append(request->headers, "Expect:");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, spec->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    if (!spec->is_watch) {
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    }
}

struct kube_request *
kube_request_start(struct kube *kube, const struct kube_request_spec *spec)
{
    struct kube_request *request = NEW(struct kube_request);
    CURL *easy = curl_easy_init();

    request->kube = kube;
    request->spec = *spec;
    request->easy = easy;
    set_connection(request, easy);
    set_url(request, easy);
    set_request(request, easy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    request->transfer = http_start(kube->http, easy, on_done, request);
    return request;
}

void
kube_request_cancel(struct kube_request *request)
{
    if (request) {
        request->is_cancelled = true;
        http_cancel(request->transfer);
    }
}
