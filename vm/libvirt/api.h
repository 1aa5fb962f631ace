#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <memory>

#include "agent/base/status.h"

namespace claw::vm {

// The functions of libvirt that clawlet uses, found at run time: an agent without VMs neither loads
// it (10 MiB) nor needs it installed. Each member is what libvirt's header of the same version
// says.
struct LibvirtApi {
#define CLAW_LIBVIRT_FUNCTIONS(X)       \
  X(virGetLastErrorMessage)             \
  X(virGetLastErrorCode)                \
  X(virGetLastErrorDomain)              \
  X(virSetErrorFunc)                    \
  X(virEventRegisterDefaultImpl)        \
  X(virEventRunDefaultImpl)             \
  X(virEventAddTimeout)                 \
  X(virEventRemoveTimeout)              \
  X(virConnectOpen)                     \
  X(virConnectClose)                    \
  X(virConnectIsAlive)                  \
  X(virConnectRegisterCloseCallback)    \
  X(virConnectUnregisterCloseCallback)  \
  X(virConnectSetKeepAlive)             \
  X(virConnectGetLibVersion)            \
  X(virConnectGetVersion)               \
  X(virConnectGetDomainCapabilities)    \
  X(virConnectDomainEventRegisterAny)   \
  X(virConnectDomainEventDeregisterAny) \
  X(virConnectListAllDomains)           \
  X(virDomainDefineXMLFlags)            \
  X(virDomainLookupByName)              \
  X(virDomainGetName)                   \
  X(virDomainGetMetadata)               \
  X(virDomainGetState)                  \
  X(virDomainCreate)                    \
  X(virDomainDestroy)                   \
  X(virDomainSuspend)                   \
  X(virDomainResume)                    \
  X(virDomainUndefineFlags)             \
  X(virDomainMemoryStats)               \
  X(virDomainSetMemoryFlags)            \
  X(virDomainGetMaxMemory)              \
  X(virDomainFree)
#define CLAW_MEMBER(name) decltype(&::name) name = nullptr;
  CLAW_LIBVIRT_FUNCTIONS(CLAW_MEMBER)
#undef CLAW_MEMBER

  // FAILED_PRECONDITION, reason LIBVIRT_MISSING. It stays loaded until the process ends: libvirt
  // cannot be unloaded.
  static StatusOr<std::shared_ptr<const LibvirtApi>> Load();
};

}  // namespace claw::vm
