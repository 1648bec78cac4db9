/* calotype completion: a script for bash, from the tables. It completes commands, each command's options, the values of
   those that have a list, and files for the others. */
#include "commands.h"

#include <string.h>

static void put_names(unsigned bit)
{
    for (int i = 0; option_at(i); i++)
        if (option_at(i)->commands & bit)
            printf("%s ", option_at(i)->name);
}

int command_completion(options *o)
{
    (void)o;
    printf(
        "# Made by calotype completion.\n"
        "_calotype()\n{\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} names\n"
        "    COMPREPLY=()\n"
        "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
        "        COMPREPLY=($(compgen -W '--help --version help");
    for (int i = 0; command_at(i); i++)
        printf(" %s", command_at(i)->name);
    /* bash breaks words at '=': --name=value comes as three. */
    printf("' -- \"$word\"))\n        return\n    fi\n"
           "    if [ \"$word\" = = ]; then\n        word=\n"
           "    elif [ \"$before\" = = ]; then\n        before=${COMP_WORDS[COMP_CWORD-2]}\n    fi\n"
           "    case $command in\n");
    for (int i = 0; command_at(i); i++) {
        printf("    %s) names='", command_at(i)->name);
        put_names(command_at(i)->bit);
        printf("' ;;\n");
    }
    printf("    help)\n        COMPREPLY=($(compgen -W '");
    for (int i = 0; command_at(i); i++)
        printf("%s ", command_at(i)->name);
    printf("' -- \"$word\"))\n        return\n        ;;\n    *) return ;;\n    esac\n"
           "    case $before in\n");
    for (int i = 0; option_at(i); i++) {
        const option *option = option_at(i);
        if (option->values)
            printf("    %s)\n        COMPREPLY=($(compgen -W '%s' -- \"$word\"))\n        return\n        ;;\n",
                   option->name, option->values);
    }
    printf(
        "    --device)\n        COMPREPLY=($(compgen -W 'auto cuda opencl' -- \"$word\"))\n        return\n        ;;\n"
        "    --models)\n        mapfile -t COMPREPLY < <(compgen -d -- \"$word\")\n        return\n        ;;\n    ");
    const char *between = "";
    for (int i = 0; option_at(i); i++)
        if (option_at(i)->kind == OPTION_PATH && strcmp(option_at(i)->name, "--device") != 0) {
            printf("%s%s", between, option_at(i)->name);
            between = " | ";
        }
    printf(")\n        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n        return\n        ;;\n    ");
    between = "";
    for (int i = 0; option_at(i); i++) /* a number or a text: nothing to offer */
        if (option_at(i)->takes && !option_at(i)->values && option_at(i)->kind != OPTION_PATH &&
            option_at(i)->kind != OPTION_FOLDER) {
            printf("%s%s", between, option_at(i)->name);
            between = " | ";
        }
    printf(") return ;;\n    esac\n"
           "    if [[ $word == -* ]]; then\n        COMPREPLY=($(compgen -W \"$names\" -- \"$word\"))\n"
           "    elif [ \"$COMP_CWORD\" = 2 ] && [[ $command =~ ^(plan|profile|check)$ ]]; then\n"
           "        COMPREPLY=($(compgen -W 'txt2img img2img inpaint' -- \"$word\"))\n"
           "    else\n        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n    fi\n}\n"
           "complete -o filenames -F _calotype calotype\n");
    return 0;
}
