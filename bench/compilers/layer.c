/*
 * A Vulkan layer that writes down what the driver's compiler says of each compute pipeline: its statistics, and the final
 * code where the driver shows it (VK_KHR_pipeline_executable_properties).
 *
 * The n-th pipeline is written to the file n (from 0) in the folder RCOD_COMPILER_OUTPUT. A line "S name<TAB>value" is a
 * statistic. A line "R name<TAB>bytes" is a representation, and that many bytes of text follow it.
 *
 * Dawn compiles one pipeline after another where it is asked to without waiting, so the count needs no lock.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>
#include <vulkan/vk_layer.h>

#define EXPORT __attribute__((visibility("default")))
/* A process has one instance and one device. */
static VkInstance the_instance;
static PFN_vkGetInstanceProcAddr next_instance_proc;
static PFN_vkGetDeviceProcAddr next_device_proc;
static PFN_vkCreateComputePipelines next_create_pipelines;
static PFN_vkGetPipelineExecutablePropertiesKHR get_properties;
static PFN_vkGetPipelineExecutableStatisticsKHR get_statistics;
static PFN_vkGetPipelineExecutableInternalRepresentationsKHR get_representations;
static int pipeline_count;

static void write_statistics(FILE *file, VkDevice device, const VkPipelineExecutableInfoKHR *info) {
  uint32_t count = 0;
  get_statistics(device, info, &count, NULL);
  VkPipelineExecutableStatisticKHR *all = calloc(count, sizeof *all);
  for (uint32_t i = 0; i < count; i++) all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  get_statistics(device, info, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    fprintf(file, "S %s\t", all[i].name);
    switch (all[i].format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: fprintf(file, "%d\n", (int)all[i].value.b32); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: fprintf(file, "%lld\n", (long long)all[i].value.i64); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: fprintf(file, "%llu\n", (unsigned long long)all[i].value.u64); break;
    default: fprintf(file, "%g\n", all[i].value.f64);
    }
  }
  free(all);
}

static void write_representations(FILE *file, VkDevice device, const VkPipelineExecutableInfoKHR *info) {
  uint32_t count = 0;
  get_representations(device, info, &count, NULL);
  VkPipelineExecutableInternalRepresentationKHR *all = calloc(count, sizeof *all);
  for (uint32_t i = 0; i < count; i++) all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  get_representations(device, info, &count, all); /* sizes */
  for (uint32_t i = 0; i < count; i++) all[i].pData = calloc(all[i].dataSize + 1, 1);
  get_representations(device, info, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    size_t length = all[i].isText ? strlen(all[i].pData) : 0;
    fprintf(file, "R %s\t%zu\n", all[i].name, length);
    fwrite(all[i].pData, 1, length, file);
    free(all[i].pData);
  }
  free(all);
}

static void write_pipeline(VkDevice device, VkPipeline pipeline) {
  const char *folder = getenv("RCOD_COMPILER_OUTPUT");
  char path[4096];
  snprintf(path, sizeof path, "%s/%d", folder ? folder : ".", pipeline_count++);
  FILE *file = fopen(path, "w");
  if (!file) return;
  VkPipelineInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, NULL, pipeline};
  VkPipelineExecutableInfoKHR info = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, 0};
  VkPipelineExecutablePropertiesKHR properties = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
  uint32_t count = 1; /* compute pipelines have one executable */
  get_properties(device, &which, &count, &properties);
  fprintf(file, "S Subgroup Size\t%u\n", properties.subgroupSize);
  write_statistics(file, device, &info);
  write_representations(file, device, &info);
  fclose(file);
}

static VkResult create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                 const VkComputePipelineCreateInfo *infos, const VkAllocationCallbacks *allocator,
                                 VkPipeline *pipelines) {
  VkComputePipelineCreateInfo *copies = malloc(count * sizeof *copies);
  memcpy(copies, infos, count * sizeof *copies);
  for (uint32_t i = 0; i < count; i++)
    copies[i].flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
  VkResult result = next_create_pipelines(device, VK_NULL_HANDLE, count, copies, allocator, pipelines);
  free(copies);
  for (uint32_t i = 0; i < count && result == VK_SUCCESS; i++) write_pipeline(device, pipelines[i]);
  return result;
}

/* The loader's link to the next layer, which this one takes off the chain. */
static VkLayerInstanceCreateInfo *instance_link(const VkInstanceCreateInfo *info) {
  VkLayerInstanceCreateInfo *link = (void *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (void *)link->pNext;
  return link;
}
static VkLayerDeviceCreateInfo *device_link(const VkDeviceCreateInfo *info) {
  VkLayerDeviceCreateInfo *link = (void *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (void *)link->pNext;
  return link;
}

static VkResult create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *instance) {
  VkLayerInstanceCreateInfo *link = instance_link(info);
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateInstance create = (void *)next_instance_proc(NULL, "vkCreateInstance");
  VkResult result = create(info, allocator, instance);
  the_instance = *instance;
  return result;
}

static VkResult create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *allocator,
                              VkDevice *device) {
  VkLayerDeviceCreateInfo *link = device_link(info);
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void *)info->pNext, VK_TRUE};
  VkDeviceCreateInfo copy = *info;
  const char **names = malloc((info->enabledExtensionCount + 1) * sizeof *names);
  memcpy(names, info->ppEnabledExtensionNames, info->enabledExtensionCount * sizeof *names);
  names[copy.enabledExtensionCount++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
  copy.ppEnabledExtensionNames = names;
  copy.pNext = &feature;
  PFN_vkCreateDevice create = (void *)next_instance_proc(the_instance, "vkCreateDevice");
  VkResult result = create(physical, &copy, allocator, device);
  free(names);
  if (result != VK_SUCCESS) return result;
  next_create_pipelines = (void *)next_device_proc(*device, "vkCreateComputePipelines");
  get_properties = (void *)next_device_proc(*device, "vkGetPipelineExecutablePropertiesKHR");
  get_statistics = (void *)next_device_proc(*device, "vkGetPipelineExecutableStatisticsKHR");
  get_representations = (void *)next_device_proc(*device, "vkGetPipelineExecutableInternalRepresentationsKHR");
  return result;
}

static PFN_vkVoidFunction device_proc(VkDevice device, const char *name) {
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (void *)device_proc;
  if (!strcmp(name, "vkCreateComputePipelines")) return (void *)create_pipelines;
  return next_device_proc(device, name);
}

static PFN_vkVoidFunction instance_proc(VkInstance instance, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (void *)instance_proc;
  if (!strcmp(name, "vkCreateInstance")) return (void *)create_instance;
  if (!strcmp(name, "vkCreateDevice")) return (void *)create_device;
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (void *)device_proc;
  if (!strcmp(name, "vkCreateComputePipelines")) return (void *)create_pipelines;
  return next_instance_proc ? next_instance_proc(instance, name) : NULL;
}

EXPORT VkResult vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
  interface->loaderLayerInterfaceVersion = 2;
  interface->pfnGetInstanceProcAddr = instance_proc;
  interface->pfnGetDeviceProcAddr = device_proc;
  interface->pfnGetPhysicalDeviceProcAddr = NULL;
  return VK_SUCCESS;
}
