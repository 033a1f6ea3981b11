use super::*;
use proptest::prelude::*;

fn defined(file: &str, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    definitions(text, Kind::of(file).unwrap(), &mut |name| names.push(name.to_owned()));
    names.sort();
    names.dedup();
    names
}

#[test]
fn definitions_of_each_language() {
    for (file, text, wanted) in [
        (
            "a.go",
            "package a\nimport \"fmt\"\nconst Max = 1\nvar (\n\tErrA, ErrB = x()\n\tErrC = 1\n)\ntype Store struct {\n\tItems, Names []string\n\tsync.Mutex\n\tlock sync.Mutex\n}\ntype R interface {\n\tRead(p []byte) int\n}\nfunc (s *Store) Load(id int) error {\n\tlocal := other(1)\n\treturn nil\n}\nfunc Free[T any](x T) {}\n",
            "ErrA ErrB ErrC Free Items Load Max Names R Read Store lock",
        ),
        (
            "a.rs",
            "pub(crate) async fn load<T>(a: T) {\n  let b = call(1);\n  b.method();\n}\npub const fn k() {}\nstatic mut N: u8 = 1;\nenum Kind {\n  One,\n  Two(u8),\n}\npub struct A {\n  pub name: String,\n  age: u8,\n}\nmacro_rules! put { }\nuse a::b;\n/* fn gone() {} */\n// fn gone() {}\n#[derive(Debug)]\nmod inner;\npub unsafe extern \"C\" fn raw() {}\n",
            "A Kind N One Two age inner k load name put raw",
        ),
        (
            "a.py",
            "MAX = 3\nclass Basket(Base):\n    \"\"\"Text\n    def no(): pass\n    \"\"\"\n    size: int = 0\n    async def load(self, a):\n        self.items = []\n        local = 1\n        if x == 1:\n            call(2)\n\ndef free(): pass\nx == y\n",
            "Basket MAX free items load size",
        ),
        (
            "a.ts",
            "export const MAX = 1;\nexport async function load(a: string) {\n  const inner = 1;\n  const arrow = (x) => x;\n  call(inner);\n  if (a) {\n  }\n}\nexport default class Store<T> extends Base {\n  private readonly items: string[];\n  static count = 0;\n  async get(id: string): Promise<T> {\n  }\n  abstract close(): void;\n}\ninterface Options {\n  name?: string;\n  run(x: number): void;\n}\ntype Id = string;\nreturn foo(1);\n",
            "Id MAX Options Store arrow close count get items load name run",
        ),
        (
            "A.java",
            "package a.b;\nimport x.y.Z;\npublic class Store extends Base {\n  private final Map<String, Item> items = new HashMap<>();\n  public List<Item> load(int id) throws E {\n    return find(id);\n    int local = 1;\n    Item other = new Item(1);\n  }\n  Store(int a) {}\n}\n",
            "Store items load",
        ),
        (
            "a.kt",
            "data class Order(val id: Int)\nfun String.clean(a: Int): String = this\nobject Holder {\n  val name = 1\n}\nenum class Kind { A }\n",
            "Holder Kind Order clean id name",
        ),
        (
            "a.cs",
            "namespace Shop;\npublic record Item(int Id);\npublic async Task<Item> LoadAsync(int id) {\n  await Call(1);\n}\npublic string Name { get; set; }\n",
            "Item LoadAsync Name Shop",
        ),
        (
            "a.swift",
            "struct Cart {\n  var items: [Int]\n  func add(_ x: Int) {}\n}\nprotocol P {}\n",
            "Cart P add items",
        ),
        (
            "a.php",
            "<?php\nclass Cart {\n  private array $items = [];\n  public function add($x) { return $this->get($x); }\n}\nfunction free() {}\n",
            "Cart add free items",
        ),
        (
            "a.c",
            "#define MAX 3\nstatic int load_user(int id);\nstruct user *find_user(const char *n) {\n  return lookup(n);\n  call(1);\n}\nvoid Store::open(int a) {\n}\ntypedef struct node node_t;\n",
            "MAX find_user load_user node_t open",
        ),
        (
            "a.rb",
            "module Shop\n  class Cart < Base\n    MAX = 1\n    attr_reader :items, :name\n    def self.build(a)\n    def add(x)\n      call(x)\n    end\n",
            "Cart MAX Shop add build items name",
        ),
        (
            "a.ex",
            "defmodule Shop.Cart do\n  @moduledoc \"\"\"\n  def no\n  \"\"\"\n  @limit 3\n  field :name, :string\n  def add(a), do: a\n  defp go!(x), do: call(x)\nend\n",
            "Cart Shop.Cart add go limit name",
        ),
        ("a.sh", "NAME=1\nrun_all() {\n  call x\n}\nfunction other {\n}\n", "NAME other run_all"),
        (
            "a.proto",
            "message Order {\n}\nservice Shop {\n  rpc Load (A) returns (B);\n}\n",
            "Load Order Shop",
        ),
        ("a.sql", "CREATE TABLE orders (id int);\n-- function no()\n", "orders"),
    ] {
        assert_eq!(defined(file, text).join(" "), wanted, "{file}");
    }
    assert_eq!(Kind::of("README.md"), None);
}

proptest! {
    #[test]
    fn any_text_is_read_and_gives_pieces_of_it(
        text in r"(?s)([a-zA-Z_$.:(){}\[\]<>=,;#@*/?! \t\né'`\x22\\]|fn |def |class |func |type |\x22\x22\x22){0,120}",
        end in prop::sample::select(vec!["rs", "go", "py", "ts", "java", "rb", "c", "sh", "ex", "php", "sql"]),
    ) {
        for name in defined(&format!("a.{end}"), &text) {
            prop_assert!(text.contains(&name) && !name.is_empty());
        }
    }
}
