/* The floor of test/bench/sync.py: downloads a list in pages as a client would and gives each page
 * to json-c whole, or (--download-only) to nobody. */
#include <curl/curl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

static size_t
on_data(char *data, size_t size, size_t n, void *owner)
{
    str_add_bytes(owner, data, size * n);
    return size * n;
}

/* The continue token by its text: it stands in the list's metadata, and is wanted without parsing.
 */
static void
find_continue(const struct str *page, struct str *ret_token)
{
    static const char key[] = "\"continue\":\"";
    const char *found = memmem(str_text(page), page->len, key, strlen(key));

    str_clear(ret_token);
    if (found) {
        found += strlen(key);
        str_add_bytes(ret_token, found, strcspn(found, "\""));
    }
}

int
main(int argc, char **argv)
{
    bool download_only = argc > 1 && strcmp(argv[1], "--download-only") == 0;
    const char *url = argv[argc - 1];
    AUTO(str) struct str page = STR_INIT;
    AUTO(str) struct str token = STR_INIT;
    AUTO(str) struct str request = STR_INIT;
    uint64_t start_ms = clock_monotonic_ms();
    size_t n_bytes = 0;
    CURL *curl = curl_easy_init();

    if (argc < 2 || !curl) {
        fprintf(stderr, "usage: list-tokenise [--download-only] URL\n");
        return 2;
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &page);
    do {
        str_clear(&page);
        str_clear(&request);
        str_addf(&request, "%s?limit=500%s%s", url, token.len ? "&continue=" : "",
                 str_text(&token));
        curl_easy_setopt(curl, CURLOPT_URL, request.text);
        if (curl_easy_perform(curl) != CURLE_OK) {
            fprintf(stderr, "download failed\n");
            return 1;
        }
        n_bytes += page.len;
        find_continue(&page, &token);
        if (!download_only) {
            struct json_object *json = json_tokener_parse(str_text(&page));
            if (!json) {
                fprintf(stderr, "not JSON\n");
                return 1;
            }
            json_object_put(json);
        }
    } while (token.len > 0);
    curl_easy_cleanup(curl);

    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("wall_ms=%llu cpu_us=%llu bytes=%zu\n",
           (unsigned long long)(clock_monotonic_ms() - start_ms),
           (unsigned long long)((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                                usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
           n_bytes);
    return 0;
}
