/* Vulkan's entry point, under which every CPU driver calls itself SwiftShader: Chromium gives WebGPU no other one.
   Chromium opens this file in SwiftShader's place. The loader behind it takes the driver from VK_DRIVER_FILES. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What the driver says in SwiftShader's place. WebGPU promises no longer sides; pages are tried at that limit. */
enum { GOOGLE = 0x1AE0, SWIFTSHADER = 0xC0DE, LONGEST_SIDE = 8192 };

typedef void (*Function)(void);
typedef Function (*GetInstanceProcAddr)(void *instance, const char *name);

/* The beginning of VkPhysicalDeviceProperties. */
typedef struct {
  uint32_t api_version, driver_version, vendor, device, type;
  char name[256];
  uint8_t cache_id[16];
  _Alignas(8) uint32_t longest_1d;
  uint32_t longest_2d;
} Properties;

/* The beginning of VkPhysicalDeviceProperties2. */
typedef struct {
  uint32_t structure_type;
  void *next;
  Properties properties;
} Properties2;

static void (*get_properties)(void *device, Properties *properties);
static void (*get_properties2)(void *device, Properties2 *properties);

static void disguise(Properties *properties) {
  properties->vendor = GOOGLE;
  properties->device = SWIFTSHADER;
  properties->longest_2d = LONGEST_SIDE;
}

static void disguised_properties(void *device, Properties *properties) {
  get_properties(device, properties);
  disguise(properties);
}

static void disguised_properties2(void *device, Properties2 *properties) {
  get_properties2(device, properties);
  disguise(&properties->properties);
}

Function vkGetInstanceProcAddr(void *instance, const char *name) {
  static GetInstanceProcAddr loader;
  if (loader == NULL) {
    void *library = dlopen("libvulkan.so.1", RTLD_NOW);
    if (library == NULL) return NULL;
    loader = (GetInstanceProcAddr)dlsym(library, "vkGetInstanceProcAddr");
  }
  Function function = loader(instance, name);
  if (function == NULL) return NULL;
  if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (Function)vkGetInstanceProcAddr;
  if (strcmp(name, "vkGetPhysicalDeviceProperties") == 0) {
    get_properties = (void (*)(void *, Properties *))function;
    return (Function)disguised_properties;
  }
  if (strcmp(name, "vkGetPhysicalDeviceProperties2") == 0 ||
      strcmp(name, "vkGetPhysicalDeviceProperties2KHR") == 0) {
    get_properties2 = (void (*)(void *, Properties2 *))function;
    return (Function)disguised_properties2;
  }
  return function;
}
