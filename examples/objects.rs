//! A host that creates and reads objects in a guest's heap.
//!
//! `cargo run -p belljar-examples --example objects`

use belljar::{
    AnyRef, ArrayRef, ArrayRefPre, ArrayType, Engine, FieldType, Instance, Module, Mutability, Result,
    RootScope, Rooted, StorageType, Store, StructRef, StructRefPre, StructType, Val, ValType,
};

const GUEST: &str = r#"(module
    (type $name (array i8))
    (type $pet (struct (field $name (ref $name)) (field $age (mut i32))))
    (func (export "birthday") (param anyref) (local $pet (ref null $pet))
        (local.set $pet (ref.cast (ref $pet) (local.get 0)))
        (struct.set $pet $age (local.get $pet)
            (i32.add (struct.get $pet $age (local.get $pet)) (i32.const 1)))))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let birthday = instance.get_typed_func::<Option<Rooted<AnyRef>>, ()>(&mut store, "birthday")?;

    // Structurally equal types are the same: the guest's cast accepts this one as its own.
    let name = ArrayType::new(&engine, FieldType::new(Mutability::Const, StorageType::I8))?;
    let fields = [
        FieldType::new(Mutability::Const, StorageType::ValType(name.ref_type(false).into())),
        FieldType::new(Mutability::Var, StorageType::ValType(ValType::I32)),
    ];
    let pet = StructRefPre::new(&mut store, StructType::new(&engine, fields)?);
    let name = ArrayRefPre::new(&mut store, name);

    let kept = {
        // Handles created in a scope are released at its end, except owned ones.
        let mut scope = RootScope::new(&mut store);
        let letters: Vec<Val> = b"Jar".iter().map(|b| Val::I32((*b).into())).collect();
        let letters = ArrayRef::new_fixed(&mut scope, &name, &letters)?;
        let pet = StructRef::new(&mut scope, &pet, &[letters.into(), Val::I32(6)])?;
        birthday.call(&mut scope, Some(pet.to_anyref()))?;
        pet.to_owned_rooted(&mut scope)?
    };
    store.gc(None)?;
    let pet = kept.to_rooted(&mut store);
    let letters = pet.field(&mut store, 0)?.unwrap_anyref().and_then(|any| any.as_array(&store).ok()?);
    let letters = letters.expect("a pet has a name").elems(&mut store)?;
    let name: String = letters.map(|letter| letter.unwrap_i32() as u8 as char).collect();
    println!("{name} is {} years old", pet.field(&mut store, 1)?.unwrap_i32());
    let stats = store.gc_stats();
    println!("{} collections, {} bytes alive", stats.minor_collections, stats.old_bytes);
    Ok(())
}
