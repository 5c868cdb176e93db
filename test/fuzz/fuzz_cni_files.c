/* Address files as host-local, older versions and crashes leave them: the input is the content of
 * one, in a directory of its own that is made once. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cni/ipam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static char file[128];

static void
remove_files(void)
{
    static const char *const names[] = {"10.0.0.5", "lock", "last_reserved_ip.0"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/net/%s", directory, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/net", directory);
    rmdir(path);
    rmdir(directory);
}

static void
prepare(void)
{
    char path[128];

    if (directory[0] != '\0') {
        return;
    }
    snprintf(directory, sizeof directory, "/tmp/canal-fuzz-XXXXXX");
    if (!mkdtemp(directory)) {
        abort();
    }
    atexit(remove_files);
    snprintf(path, sizeof path, "%s/net", directory);
    snprintf(file, sizeof file, "%s/net/10.0.0.5", directory);
    if (mkdir(path, 0700) != 0) {
        abort();
    }
}

static void
seen(void *owner, const char *path, const char *container_id, const char *ifname)
{
    size_t *n = owner;

    if (strcmp(path, file) != 0 || strpbrk(container_id, "\r\n") || strpbrk(ifname, "\r\n")) {
        abort();
    }
    (*n)++;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[128];
    struct cni_config config = {0};
    struct ipam *ipam = NULL;
    path_vec paths = VEC_INIT;
    size_t n = 0;

    prepare();
    AUTO_FD int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    snprintf(text, sizeof text,
             "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"ipam\":{\"dataDir\":\"%s\"}}",
             directory);
    if (!cni_config_parse(text, strlen(text), &config, NULL) ||
        !ipam_open(&config, NULL, &ipam, NULL)) {
        abort();
    }
    ipam_each(ipam, seen, &n);
    ipam_files_of(ipam, "abc", "eth0", &paths);
    ipam_paths_done(&paths);
    ipam_release(ipam, "abc", "eth0");
    ipam_sweep(ipam);
    ipam_close(ipam);
    cni_config_done(&config);
    return 0;
}
