/* calotype COMMAND …: finds the command and runs it. */
#include "commands.h"

#include <fcntl.h>
#include <string.h>

static const command commands[] = {
    { "txt2img", TXT2IMG, "--model PATH --prompt TEXT [options]", "make pictures from a prompt",
      "Makes pictures from a prompt.",
      "txt2img --model sd15.safetensors --prompt 'a red house on a green hill' --seed 7", 0, command_draw },
    { "img2img", IMG2IMG, "--model PATH --prompt TEXT --init IMAGE [options]",
      "make pictures from a picture and a prompt",
      "Makes pictures from a picture and a prompt. --strength says how much may change.",
      "img2img --model sd15.safetensors --init day.png --prompt 'the same at night' --strength 0.6", 0, command_draw },
    { "inpaint", INPAINT, "--model PATH --prompt TEXT --init IMAGE --mask IMAGE [options]",
      "repaint a part of a picture",
      "Repaints a part of a picture: where the mask is white, where the picture is transparent, or what --extend adds "
      "to it. "
      "Pixels elsewhere are returned as they were.",
      "inpaint --model sd15.safetensors --init house.png --mask door.png --prompt 'a blue door'", 0, command_draw },
    { "resume", RESUME, "STATE --model PATH [options]", "go on with a run that was suspended",
      "Goes on with a run that --suspend wrote to a file, to the same picture bit by bit on the same device and model.",
      "resume night.state --model sd15.safetensors --output night.png", 1, command_resume },
    { "again", AGAIN, "IMAGE [--models DIR …] [options]", "make a picture again from what it says about itself",
      "Reads how a picture was made from its `parameters` text, as calotype and AUTOMATIC1111's web UI write it, finds "
      "the "
      "model by hash, else by name, and makes the picture again. What it does not understand or cannot reproduce is "
      "said line by line on standard error; where that shapes the picture the status is 3, unless --force.",
      "again found.png --models ~/models --output again.png", 1, command_again },
    { "grid", GRID, "--model PATH --prompt TEXT --x AXIS=V,V,… [--y AXIS=V,V,…] [options]",
      "sweep one or two settings into a contact sheet",
      "Makes a picture for each value of one setting, or for each pair of two, and one labelled contact sheet of them "
      "all; "
      "prints how long each took.",
      "grid --model sd15.safetensors --prompt 'a lighthouse' --x scheduler=ddim,euler,unipc --y steps=5,10,20", 0,
      command_grid },
    { "plan", PLAN, "FLOW --model PATH [options of that flow]",
      "memory, FLOPs, bytes and roofline time of a flow, without a device",
      "Says what a flow will take: memory, FLOPs, bytes, and the time that the device's peaks allow. Needs no device "
      "and reads no "
      "weights. FLOW is txt2img, img2img or inpaint.",
      "plan txt2img --model layout:sdxl --width 1024 --height 1024", 1, command_plan },
    { "profile", PROFILE, "FLOW --model PATH --prompt TEXT [options of that flow]",
      "run a flow and list its ops by time",
      "Runs a flow, waits for each op, and lists them by time with their share of the device's peak. FLOW is txt2img, "
      "img2img or inpaint.",
      "profile txt2img --model layout:sd15 --prompt x --steps 2", 1, command_profile },
    { "check", CHECK, "FLOW --model PATH --prompt TEXT [options of that flow]",
      "run a flow with every op also on its reference",
      "Runs a flow with every op also on its double-precision reference, and names the first that departs. Slow: the "
      "references "
      "are plain loops. FLOW is txt2img, img2img or inpaint.",
      "check txt2img --model tools/demo/model --prompt x --steps 1 --width 64 --height 64", 1, command_check },
    { "tune", TUNE, "FLOW --model PATH [options of that flow]", "time each kernel on a flow's shapes, keep the fastest",
      "Times every kernel that can do what a flow asks for, with each of its tile sizes, those of the device maker's "
      "libraries too, and keeps the fastest for each shape in a file, by which later runs choose. Another than the "
      "standard one is kept only where it is faster by more than 3 %, and in three rounds of four. FLOW is txt2img, "
      "img2img or inpaint.",
      "tune txt2img --model layout:sd15 --steps 1", 1, command_tune },
    { "info", INFO, "MODEL [--json]", "say what a model is, and why it was taken for that",
      "Says what a model is: architecture, parts, parameters, types, and why.", "info sd15.safetensors", 1,
      command_info },
    { "devices", DEVICES, "[--json]", "list the devices, their limits and measured peaks",
      "Lists the devices, their limits and measured peaks.", "devices", 0, command_devices },
    { "make-random", MAKE_RANDOM, "NAME DIR [--dtype TYPE]", "write a layout's random weights as a diffusers folder",
      "Writes the random weights of layout:NAME as a diffusers folder (f16 unless --dtype says another), for "
      "benchmarks.",
      "make-random sd15 random-sd15", 2, command_make_random },
    { "manual", MANUAL, "", "print the manual page", "Prints the manual page, calotype(1), in roff.",
      "manual | man -l -", 0, command_manual },
    { "completion", COMPLETION, "", "print the completion for bash",
      "Prints a script that lets bash complete commands, options and their values.", "completion >~/.calotype.bash", 0,
      command_completion },
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

const command *command_at(int i)
{
    return i >= 0 && i < COMMAND_COUNT ? &commands[i] : NULL;
}

const command *command_find(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run(int count, char **words)
{
    options o;
    if (count < 2) {
        help_all(stderr);
        return 2;
    }
    const char *name = words[1];
    const bool asks = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (asks && count == 2) {
        help_all(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        printf("calotype %s\n", calo_version());
        return 0;
    }
    const command *c = command_find(asks ? words[2] : name);
    if (!c)
        return complain(2, "'%s' is no command; calotype --help lists them", asks ? words[2] : name);
    char why[OPTION_SENTENCE];
    if (!asks && options_parse(&o, c, count - 2, words + 2, why))
        return complain(2, "%s", why);
    if (asks || o.help) {
        help_command(c);
        return 0;
    }
    return c->run(&o);
}

/* A file that is opened must not get the number of a closed standard stream. */
static void reserve_streams(void)
{
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0)
            (void)!open("/dev/null", O_RDWR);
}

int main(int count, char **words)
{
    reserve_streams();
    const int status = run(count, words);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0)
        return complain(3, "standard output cannot be written");
    return status;
}
