/* calotype make-random: a layout's random weights as a diffusers folder, for peers to run. */
#include "commands.h"

int command_make_random(int count, char **words)
{
    options o;
    session s = { 0 };
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    if (options_parse(&o, "make-random", OPTIONS_DTYPE, 2, count, words))
        return 2;
    if (o.help) {
        options_help("make-random NAME DIR [--dtype TYPE]",
                     "Writes the random weights of layout:NAME as a diffusers folder (f16 unless --dtype says another).",
                     OPTIONS_DTYPE);
        return 0;
    }
    if (!o.words[0] || !o.words[1])
        return complain(2, "make-random needs a layout and a folder: calotype make-random sd15 DIR");
    none.device = "none";
    calo_status status = calo_open(&s.context, &none);
    if (!status)
        status = calo_make_random(s.context, o.words[0], o.words[1], o.dtype);
    int exit_status = status ? session_fail(&s, status) : 0;
    session_close(&s);
    return exit_status;
}
