/* Running the `calotype` command from a test. */
#include "command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

const char *calotype_path, *model_path, *work_path;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t used = file ? fread(text, 1, size - 1, file) : 0;
    text[used] = '\0';
    if (file)
        fclose(file);
}

/* What opens a device is not to choose its kernels by a file of the user's. */
static bool takes_tuning(const char *command)
{
    static const char *const commands[] = { "txt2img", "img2img", "inpaint", "resume", "again", "grid", "profile", "check",
                                            "tune" };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i], command) == 0)
            return true;
    return false;
}

outcome run_command(const char *const *words, double interrupt_after_s, int threads)
{
    outcome result = { .status = -1 };
    char *all[64] = { (char *)calotype_path }, limit[16];
    char out[512], err[512];
    int count = 1, status;
    posix_spawn_file_actions_t actions;
    pid_t child;
    if (*words && takes_tuning(*words)) {
        all[count++] = (char *)*words++;
        all[count++] = "--tuning=none";
    }
    while (*words && count < 63)
        all[count++] = (char *)*words++;
    snprintf(out, sizeof out, "%s/stdout.txt", work_path);
    snprintf(err, sizeof err, "%s/stderr.txt", work_path);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (threads > 0) {
        snprintf(limit, sizeof limit, "%d", threads);
        setenv("POCL_MAX_PTHREAD_COUNT", limit, 1);
    } else {
        unsetenv("POCL_MAX_PTHREAD_COUNT");
    }
    if (posix_spawn(&child, calotype_path, &actions, NULL, all, environ) == 0) {
        const double begin = now();
        while (interrupt_after_s > 0 && waitpid(child, &status, WNOHANG) == 0) {
            if (now() - begin >= interrupt_after_s) {
                kill(child, SIGINT);
                break;
            }
            poll(NULL, 0, 5);
        }
        waitpid(child, &status, 0);
        result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    read_file(out, result.output, sizeof result.output);
    read_file(err, result.errors, sizeof result.errors);
    return result;
}

unsigned long long file_hash(const char *path)
{
    unsigned long long h = 14695981039346656037u;
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    for (int c; (c = fgetc(file)) != EOF;)
        h = (h ^ (unsigned char)c) * 1099511628211u;
    fclose(file);
    return h;
}

const char *in_work(const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", work_path, name);
    return path;
}

static void copy_file(const char *from, const char *to)
{
    char block[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t size;
    while (in && out && (size = fread(block, 1, sizeof block, in)) > 0)
        fwrite(block, 1, size, out);
    if (in)
        fclose(in);
    if (out)
        fclose(out);
}

const char *copy_model(const char *name)
{
    static const char *const folders[] = { "", "/unet", "/vae", "/text_encoder", "/tokenizer", "/scheduler" };
    static const char *const files[] = { "model_index.json",
                                         "unet/config.json",
                                         "unet/diffusion_pytorch_model.safetensors",
                                         "vae/config.json",
                                         "vae/diffusion_pytorch_model.safetensors",
                                         "text_encoder/config.json",
                                         "text_encoder/model.safetensors",
                                         "tokenizer/vocab.json",
                                         "tokenizer/merges.txt",
                                         "tokenizer/tokenizer.json",
                                         "tokenizer/tokenizer_config.json",
                                         "tokenizer/special_tokens_map.json",
                                         "scheduler/scheduler_config.json" };
    const char *target = in_work(name);
    char from[1200], to[1200];
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(to, sizeof to, "%s%s", target, folders[i]);
        mkdir(to, 0777);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(from, sizeof from, "%s/%s", model_path, files[i]);
        snprintf(to, sizeof to, "%s/%s", target, files[i]);
        copy_file(from, to);
    }
    return target;
}

void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}
