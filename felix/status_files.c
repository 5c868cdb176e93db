/* Which files are there, and which the present round has asked for. Called by report.c. */
#include "felix/status_files.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/table.h"

#define PREFIX "k8s "

struct file {
    char *text;      /* NULL: of an earlier run */
    char *container; /* NULL: not known */
    bool is_wanted;
};

struct status_files {
    char *dir;
    struct table *by_name; /* struct file */
    struct err err;        /* the first one of the round */
    bool is_good;
};

static void
file_free(void *value)
{
    struct file *file = value;

    if (file) {
        free(file->text);
        free(file->container);
        free(file);
    }
}

static bool
learn(struct status_files *files, struct err *err)
{
    DIR *dir = opendir(files->dir);
    const struct dirent *entry;

    if (!dir) {
        return err_sys(err, errno, "open %s", files->dir);
    }
    while ((entry = readdir(dir))) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0) {
            table_put(files->by_name, entry->d_name, NEW(struct file));
        }
    }
    closedir(dir);
    return true;
}

bool
status_files_new(const char *prefix, struct status_files **ret_files, struct err *err)
{
    struct status_files *files = NEW(struct status_files);
    struct str dir = STR_INIT;

    str_addf(&dir, "%s/endpoint-status", prefix);
    files->dir = str_steal(&dir);
    files->by_name = table_new();
    if (!file_make_dir(files->dir, 0755, err) || !learn(files, err)) {
        status_files_free(files);
        return false;
    }
    *ret_files = files;
    return true;
}

void
status_files_free(struct status_files *files)
{
    if (files) {
        table_free(files->by_name, file_free);
        free(files->dir);
        free(files);
    }
}

void
status_files_begin(struct status_files *files)
{
    files->is_good = true;
    TABLE_FOREACH (files->by_name, entry) {
        ((struct file *)table_value(entry))->is_wanted = false;
    }
}

static bool
name_of(const struct workload *workload, struct str *ret_name)
{
    /* Names of the API have no characters but '/' between them that a file's name has not; what
     * the plugin told is looked at once more, for it becomes a path. */
    if (!workload->ns || !workload->pod || *workload->ns == '\0' || *workload->pod == '\0' ||
        strchr(workload->ns, '/') || strchr(workload->pod, '/')) {
        return false;
    }
    str_addf(ret_name, PREFIX "%s%%2F%s eth0", workload->ns, workload->pod);
    return true;
}

static void
add_nets(const struct workload *workload, uint8_t family, struct str *text)
{
    bool is_first = true;
    char net[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < workload->n_ips; i++) {
        if (workload->ips[i].ip.family == family) {
            str_addf(text, "%s\"%s\"", is_first ? "" : ",", prefix_format(&workload->ips[i], net));
            is_first = false;
        }
    }
}

static void
note(struct status_files *files, bool good, const struct err *err)
{
    if (!good && files->is_good) {
        files->is_good = false;
        files->err = *err;
    }
}

void
status_files_put(struct status_files *files, const struct workload *workload)
{
    AUTO(str) struct str name = STR_INIT;
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    if (!name_of(workload, &name)) {
        return;
    }
    str_addf(&text, "{\"ifaceName\":\"%s\",\"ipv4Nets\":[", workload->ifname);
    add_nets(workload, 4, &text);
    str_add(&text, "],\"ipv6Nets\":[");
    add_nets(workload, 6, &text);
    str_add(&text, "]}\n");
    struct file *file = table_get(files->by_name, name.text);
    if (file && file->text && strcmp(file->text, text.text) == 0 &&
        strcmp(file->container ? file->container : "",
               workload->container_id ? workload->container_id : "") == 0) {
        file->is_wanted = true;
        return;
    }
    str_addf(&path, "%s/%s", files->dir, name.text);
    if (!file_replace(path.text, &text, 0644, &err)) {
        note(files, false, &err);
        return;
    }
    file = NEW(struct file);
    file->is_wanted = true;
    file->text = str_steal(&text);
    file->container = workload->container_id ? xstrdup(workload->container_id) : NULL;
    file_free(table_put(files->by_name, name.text, file));
}

void
status_files_keep(struct status_files *files, const struct workload *workload)
{
    AUTO(str) struct str name = STR_INIT;

    struct file *file = name_of(workload, &name) ? table_get(files->by_name, name.text) : NULL;
    /* Another container of that name is another pod. */
    if (file && (!file->container || (workload->container_id &&
                                      strcmp(file->container, workload->container_id) == 0))) {
        file->is_wanted = true;
    }
}

bool
status_files_end(struct status_files *files, struct err *err)
{
    TABLE_FOREACH (files->by_name, entry) {
        AUTO(str) struct str path = STR_INIT;
        struct err reason = ERR_INIT;
        struct file *file = table_value(entry);
        if (file->is_wanted) {
            continue;
        }
        str_addf(&path, "%s/%s", files->dir, table_key(entry));
        bool good = unlink(path.text) == 0 || errno == ENOENT ||
                    err_sys(&reason, errno, "remove %s", path.text);
        note(files, good, &reason);
        if (good) {
            table_take(files->by_name, table_key(entry));
            file_free(file);
        }
    }
    return files->is_good || err_code(err, files->err.code, "%s", files->err.text);
}
