/* Where the API server is and how to prove who we are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct kube_config {
    char *server; /* "https://host:port", no slash at the end */
    /* Each of these as PEM text or as a file; all NULL when absent. */
    char *ca_pem, *ca_file;
    char *cert_pem, *cert_file;
    char *key_pem, *key_file;
    char *token, *token_file; /* the file wins and is read again when it changes */
    char *tls_server_name;
    char *proxy_url;
    bool is_insecure; /* insecure-skip-tls-verify */
};

void kube_config_done(struct kube_config *config);
/* 'kubeconfig' NULL: $KUBECONFIG, else in-cluster. */
MUST_CHECK bool kube_config_load(const char *kubeconfig, struct kube_config *ret_config,
                                 struct err *err);
/* A kubeconfig's text: the current context's cluster and user. Relative file names are relative to
 * 'dir'. Refused with a clear reason: exec and auth-provider plugins, user name and password,
 * impersonation. Errors never contain values of credentials. */
MUST_CHECK bool kube_config_parse(const char *text, size_t len, const char *dir,
                                  struct kube_config *ret_config, struct err *err);
/* The service account mounted below 'dir', with KUBERNETES_SERVICE_HOST and _PORT. */
MUST_CHECK bool kube_config_in_cluster(const char *dir, struct kube_config *ret_config,
                                       struct err *err);
/* RFC 4648 base64, white space ignored; NUL-terminated result for the caller to free. */
MUST_CHECK bool kube_base64_decode(const char *text, size_t len, char **ret_data, size_t *ret_len);
