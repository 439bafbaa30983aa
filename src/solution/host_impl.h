// What the parts of the owner share. Internal to host*.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "solution/host.h"
#include "solution/stage_observer.h"

namespace tidemill::solution {

// This process leaves the run, which is not over for whoever asks: the next owner may answer.
inline Error leaving() {
  return external_error("the run's owner has left", Code::kStopped, true);
}
inline Error was_stopped() {
  return Error{Domain::kUser, Code::kStopped, false, "the run was stopped"};
}

struct Host::Running {
  std::vector<Stage> stages;
  std::vector<std::unique_ptr<StageObserver>> observers;
  std::vector<std::unique_ptr<pipeline::Pipeline>> pipelines;

  void drain() {
    // In order: a later stage still takes in what an earlier one's last epoch writes.
    for (auto& pipeline : pipelines) {
      pipeline->drain();
      (void)pipeline->wait().ok();
    }
  }
};

}  // namespace tidemill::solution
