// How the table of settings is written down; see table.cc and table_simulate.cc.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "solution/settings.h"

namespace tidemill::solution {

// Adds settings to the table. `at` is a function (Target) → reference to the value in its struct.
// The returned reference, for what not every setting has, is valid until the next call.
class TableWriter {
 public:
  class Entry {
   public:
    explicit Entry(Setting* setting) : setting_(setting) {}
    Entry& range(double min, double max) {
      setting_->min = min;
      setting_->max = max;
      return *this;
    }
    Entry& at_least(double min) {
      setting_->min = min;
      return *this;
    }
    Entry& word(std::string name, double value) {
      setting_->words.push_back({std::move(name), value});
      return *this;
    }
    // A text that may be none.
    Entry& word(std::string name) { return word(std::move(name), 0); }
    Entry& derived(std::string from) {
      setting_->derived = std::move(from);
      return *this;
    }
    Entry& items(std::vector<std::string> names) {
      setting_->choices = std::move(names);
      return *this;
    }
    // Never printed.
    Entry& secret() {
      setting_->secret = true;
      return *this;
    }
    Entry& verbatim() {
      setting_->verbatim = true;
      return *this;
    }

   private:
    Setting* setting_;
  };

  template <class At>
  Entry toggle(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kSwitch, std::move(help), integer(at));
  }
  template <class At>
  Entry count(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kCount, std::move(help), integer(at)).at_least(0);
  }
  template <class At>
  Entry duration(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kDuration, std::move(help), integer(at)).at_least(0);
  }
  template <class At>
  Entry bytes(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kBytes, std::move(help), integer(at)).at_least(0);
  }
  template <class At>
  Entry rate(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kRate, std::move(help), real(at)).at_least(0);
  }
  template <class At>
  Entry number(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kNumber, std::move(help), real(at));
  }
  // A number from 0 to 1.
  template <class At>
  Entry fraction(std::string path, At at, std::string help) {
    return number(std::move(path), at, std::move(help)).range(0, 1);
  }
  template <class At>
  Entry text(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kText, std::move(help), TextAccess{at});
  }
  template <class At>
  Entry list(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kList, std::move(help), ListAccess{at});
  }
  template <class At>
  Entry pairs(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kPairs, std::move(help), PairsAccess{at});
  }
  template <class At>
  Entry fields(std::string path, At at, std::string help) {
    return add(std::move(path), ValueType::kFields, std::move(help), FieldsAccess{at});
  }
  // `names` in the order of the enum's values from 0 on.
  template <class At>
  Entry choice(std::string path, At at, std::vector<std::string> names, std::string help) {
    return choice_by(std::move(path), integer(at), std::move(names), std::move(help));
  }
  Entry choice_by(std::string path, IntegerAccess access, std::vector<std::string> names, std::string help) {
    return add(std::move(path), ValueType::kChoice, std::move(help), std::move(access))
        .items(std::move(names));
  }
  Entry count_by(std::string path, IntegerAccess access, std::string help) {
    return add(std::move(path), ValueType::kCount, std::move(help), std::move(access)).at_least(0);
  }
  Entry time_by(std::string path, IntegerAccess access, std::string help) {
    return add(std::move(path), ValueType::kTime, std::move(help), std::move(access)).at_least(0);
  }

  std::vector<Setting> take() { return std::move(settings_); }

 private:
  template <class At>
  static IntegerAccess integer(At at) {
    using Value = std::remove_cvref_t<decltype(at(Target{}))>;
    return {[at](Target target) { return static_cast<int64_t>(at(target)); },
            [at](Target target, int64_t value) { at(target) = static_cast<Value>(value); }};
  }
  template <class At>
  static RealAccess real(At at) {
    return {[at](Target target) { return static_cast<double>(at(target)); },
            [at](Target target, double value) { at(target) = value; }};
  }
  template <class Access>
  Entry add(std::string path, ValueType type, std::string help, Access access) {
    Setting setting;
    setting.path = std::move(path);
    setting.type = type;
    setting.help = std::move(help);
    setting.access = std::move(access);
    settings_.push_back(std::move(setting));
    return Entry(&settings_.back());
  }

  std::vector<Setting> settings_;
};

// All settings, in the order of the reference.
std::vector<Setting> make_table();
// Those of `ingest.kafka` and of `serve.kafka`.
void add_kafka_source_settings(TableWriter& table);
void add_kafka_sink_settings(TableWriter& table);
// Those of `serve.postgres`.
void add_postgres_settings(TableWriter& table);
// Those of `serve.delta`.
void add_delta_settings(TableWriter& table);
// Those of `serve.parquet`.
void add_parquet_settings(TableWriter& table);
// Those of `process.sql`.
void add_sql_settings(TableWriter& table);
// Those of `simulate`.
void add_simulate_settings(TableWriter& table);

}  // namespace tidemill::solution
