/* SPDX-License-Identifier: Apache-2.0 */
/* What all cores need of the seam, see device.h. */
#include "vmm/virtio/device.h"

#include <string.h>

void device_config_changed(struct device *device)
{
        if (device->config_changed != NULL)
                device->config_changed(device, device->config_changed_data);
}

void device_config_copy(const void *space, size_t space_size, uint32_t offset, void *bytes, size_t size)
{
        size_t n = offset < space_size ? space_size - offset : 0;
        if (n > size)
                n = size;
        if (n > 0)
                memcpy(bytes, (const uint8_t *)space + offset, n);
        memset((uint8_t *)bytes + n, 0, size - n);
}
