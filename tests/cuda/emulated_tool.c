/* Linked to the command, makes it find an emulated CUDA device. */
#include "emulated_driver.h"

__attribute__((constructor)) static void begin(void)
{
    emulate(90);
}
