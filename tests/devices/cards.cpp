// Registers CUDA with a torch that was built without it: a guard that counts devices, streams that
// are always done, and an allocator of pinned memory. There are no kernels: those are in Python.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <map>
#include <mutex>

namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;

constexpr DeviceIndex kCards = 2;
thread_local DeviceIndex current = 0;

DeviceIndex resolve(DeviceIndex index) { return index < 0 ? current : index; }

DeviceIndex exchange(DeviceIndex index) {
  const DeviceIndex before = current;
  current = resolve(index);
  return before;
}

}  // namespace

namespace c10::impl {

struct CardGuard final : DeviceGuardImplInterface {
  static constexpr DeviceType static_type = DeviceType::CUDA;
  CardGuard() = default;
  explicit CardGuard(DeviceType) {}
  DeviceType type() const override { return static_type; }
  Device getDevice() const override { return {static_type, current}; }
  Device exchangeDevice(Device device) const override { return {static_type, exchange(device.index())}; }
  void setDevice(Device device) const override { exchange(device.index()); }
  void uncheckedSetDevice(Device device) const noexcept override { exchange(device.index()); }
  DeviceIndex deviceCount() const noexcept override { return kCards; }
  Stream getStream(Device device) const noexcept override {
    return Stream(Stream::DEFAULT, Device(static_type, resolve(device.index())));
  }
  Stream getNewStream(Device device, int) const override { return getStream(device); }
  Stream exchangeStream(Stream stream) const noexcept override { return stream; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void record(void** event, const Stream&, const DeviceIndex, const EventFlag) const override {
    static char some;
    if (*event == nullptr) *event = &some;
  }
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
};

C10_REGISTER_GUARD_IMPL(CUDA, CardGuard);

}  // namespace c10::impl

namespace at {

class PinnedMemory final : public Allocator {
 public:
  static PinnedMemory& instance() {
    static auto* memory = new PinnedMemory;  // outlives every tensor
    return *memory;
  }

  DataPtr allocate(size_t bytes) override {
    void* start = std::aligned_alloc(64, (bytes / 64 + 1) * 64);
    std::lock_guard<std::mutex> held(lock_);
    sizes_[static_cast<const char*>(start)] = bytes;
    return {start, start, &release, Device(DeviceType::CPU)};
  }

  DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* into, const void* from, size_t bytes) const override {
    default_copy_data(into, from, bytes);
  }

  bool owns(const void* address) {
    const auto* byte = static_cast<const char*>(address);
    std::lock_guard<std::mutex> held(lock_);
    auto after = sizes_.upper_bound(byte);
    if (after == sizes_.begin()) return false;
    const auto& [start, bytes] = *std::prev(after);
    return byte < start + bytes;
  }

 private:
  static void release(void* start) {
    PinnedMemory& memory = instance();
    {
      std::lock_guard<std::mutex> held(memory.lock_);
      memory.sizes_.erase(static_cast<const char*>(start));
    }
    std::free(start);
  }

  std::map<const char*, size_t> sizes_;
  std::mutex lock_;
};

struct CardHooks final : CUDAHooksInterface {
  explicit CardHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return kCards; }
  int getNumGPUs() const override { return kCards; }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex index) const override { exchange(index); }
  DeviceIndex exchangeDevice(DeviceIndex index) const override { return exchange(index); }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override { return exchange(index); }
  void deviceSynchronize(DeviceIndex) const override {}
  Device getDeviceFromPtr(void*) const override { return {DeviceType::CUDA, current}; }
  Allocator* getPinnedMemoryAllocator() const override { return &PinnedMemory::instance(); }
  bool isPinnedPtr(const void* address) const override { return PinnedMemory::instance().owns(address); }
};

C10_REGISTER_TYPED_CLASS(CUDAHooksRegistry, "CUDAHooks", CardHooks);

}  // namespace at
