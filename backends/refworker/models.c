/* backends/refworker/models.c -- from corpus files to text models. */
#include "backends/refworker/models.h"
#include "base/cleanup.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static const char prefix[] = "ngram-", suffix[] = ".txt";

static bool fail(char err[static 512], const char *path, const char *why)
{
    snprintf(err, 512, "corpus %.200s: %.250s", path, why);
    return false;
}

/* Lines of a paragraph are joined; an empty line stays as the end of a paragraph. */
static size_t unfold(char *text, size_t len)
{
    size_t to = 0;
    for (size_t at = 0; at < len;) {
        size_t breaks = 0;
        while (at < len && (text[at] == '\n' || text[at] == '\r' || (breaks && text[at] == ' ')))
            breaks += text[at++] == '\n';
        if (breaks > 1 && to > 0 && at < len)
            text[to++] = '\n';
        if (breaks > 0 && to > 0 && at < len)
            text[to++] = breaks > 1 ? '\n' : ' ';
        if (at < len)
            text[to++] = text[at++];
    }
    return to;
}

/* The whole file, to be freed.  NULL with errno: it cannot be read, or is too large. */
static char *read_file(const char *path, size_t *ret_len)
{
    AUTO(fclose_ptr) FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    AUTO(free_ptr) char *text = malloc(NGRAM_CORPUS_BYTES_MAX + 1);
    if (!text)
        return NULL;
    *ret_len = fread(text, 1, NGRAM_CORPUS_BYTES_MAX + 1, f);
    return ferror(f) ? NULL : TAKE(text);
}

static bool name_model(const char *path, char name[static MODEL_NAME_BYTES])
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t len = dot && strcmp(dot, suffix) == 0 ? (size_t)(dot - base) : strlen(base);
    int n = snprintf(name, MODEL_NAME_BYTES, "%s%.*s", prefix, (int)len, base);
    return len > 0 && n < MODEL_NAME_BYTES;
}

static bool load_file(struct models *m, const char *path, char err[static 512])
{
    struct text_model *model = &m->text[m->count];
    char why[256];
    size_t len;
    if (m->count == MODELS_MAX)
        return fail(err, path, "there are too many, 16 are the most");
    if (!name_model(path, model->name))
        return fail(err, path, "its name is too long for a model's name");
    if (models_find(m, model->name))
        return fail(err, path, "another one has the same name");
    AUTO(free_ptr) char *text = read_file(path, &len);
    if (!text)
        return fail(err, path, strerror(errno));
    model->ngram = ngram_new((struct span){ text, unfold(text, len) }, why);
    if (!model->ngram)
        return fail(err, path, why);
    m->count++;
    return true;
}

static int is_corpus(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && dot != d->d_name && strcmp(dot, suffix) == 0;
}

static bool load_directory(struct models *m, const char *path, char err[static 512])
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_corpus, alphasort);
    if (count < 0)
        return fail(err, path, strerror(errno));
    bool ok = count > 0 || fail(err, path, "the directory has no *.txt file");
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        int n = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (ok && n >= PATH_MAX)
            ok = fail(err, path, "its path is too long");
        ok = ok && load_file(m, file, err);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

bool models_load(struct models *m, const char *path, char err[static 512])
{
    struct stat st;
    if (stat(path, &st) != 0) {
        snprintf(err, 512, "corpus %.200s: %s; --corpus names the text to learn from", path,
                 strerror(errno));
        return false;
    }
    return S_ISDIR(st.st_mode) ? load_directory(m, path, err) : load_file(m, path, err);
}

void models_free(struct models *m)
{
    for (size_t i = 0; i < m->count; i++)
        ngram_free(m->text[i].ngram);
    m->count = 0;
}

const struct ngram *models_find(const struct models *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->text[i].name, name) == 0)
            return m->text[i].ngram;
    return NULL;
}
