/* calotype COMMAND …: finds the command and runs it. */
#include "commands.h"

#include <string.h>

static const struct {
    const char *name, *what;
    int (*run)(int count, char **words);
} commands[] = {
    { "txt2img", "make pictures from a prompt", command_txt2img },
    { "devices", "list the devices, their limits and measured peaks", command_devices },
    { "info", "say what a model is, and why it was taken for that", command_info },
    { "plan", "memory, FLOPs, bytes and roofline time of a flow, without a device", command_plan },
    { "profile", "run a flow and list its ops by time", command_profile },
    { "check", "run a flow with every op also on its reference", command_check },
    { "make-random", "write a layout's random weights as a diffusers folder", command_make_random },
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void help(FILE *out)
{
    fprintf(out, "calotype %s: Stable Diffusion on hand-written GPU kernels\n\nusage: calotype COMMAND [options]\n\n",
            calo_version());
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].what);
    fprintf(out, "\ncalotype COMMAND --help lists a command's options.\n");
}

int main(int count, char **words)
{
    if (count < 2) {
        help(stderr);
        return 2;
    }
    if (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0 || strcmp(words[1], "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(words[1], "--version") == 0) {
        printf("calotype %s\n", calo_version());
        return 0;
    }
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(words[1], commands[i].name) == 0)
            return commands[i].run(count - 2, words + 2);
    return complain(2, "'%s' is no command; calotype --help lists them", words[1]);
}
